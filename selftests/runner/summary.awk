# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Adds up results files: lines "started|passed|failed|skipped<TAB>name<TAB>reason". What was started and did not end has crashed
# its program: failed. The last line of the output is "N passed, N failed, N skipped"; exit 1 if any failed or none ran.

BEGIN { FS = "\t" }

$1 == "started" { open[FILENAME, $2] = $2; next }
{ delete open[FILENAME, $2] }
$1 == "passed" { passed++ }
$1 == "failed" { failed++; failures[failed] = $2 }
$1 == "skipped" { skipped++; skips[skipped] = $2 ": " $3 }

END {
	for (key in open)
		failures[++failed] = open[key] " (did not end)"
	for (i = 1; i <= skipped; i++)
		print "skipped: " skips[i]
	for (i = 1; i <= failed; i++)
		print "failed:  " failures[i]
	printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
	exit failed > 0 || passed + skipped == 0
}
