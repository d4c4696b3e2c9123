// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A target that executes itself again every few milliseconds, until told to stop.
#include "selftests/scenarios/scenario.h"

#include <unistd.h>

int main(int argc, char **argv)
{
	scenario_init();
	if (argc == 1)
		scenario_ready();
	scenario_sleep_ms(3);
	if (!access("stop", F_OK))
		return 0;
	execl("/proc/self/exe", argv[0], "again", NULL);
	return 1;
}
