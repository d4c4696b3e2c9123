// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Ids, groups, capabilities, securebits and what else struct cred and its neighbours hold.
#include "selftests/scenarios/scenario.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GROUPS 40

static gid_t groups[GROUPS];
static struct __user_cap_data_struct wanted_caps[2];

static struct __user_cap_header_struct cap_header = {.version = _LINUX_CAPABILITY_VERSION_3};

static void check(int round)
{
	struct __user_cap_data_struct caps[2] = {};
	gid_t current[GROUPS + 1];
	unsigned r = 0, e = 0, s = 0;
	int value = 0;

	(void)round;
	getresuid(&r, &e, &s);
	SCENARIO_CHECK(r == 1001 && e == 1002 && s == 1003, "uids %u %u %u", r, e, s);
	getresgid(&r, &e, &s);
	SCENARIO_CHECK(r == 2001 && e == 2002 && s == 2003, "gids %u %u %u", r, e, s);
	SCENARIO_CHECK(setfsuid(-1) == 1004, "fsuid");
	SCENARIO_CHECK(setfsgid(-1) == 2004, "fsgid");
	SCENARIO_CHECK(getgroups(GROUPS + 1, current) == GROUPS, "groups");
	SCENARIO_CHECK(!memcmp(current, groups, sizeof(groups)), "groups differ");
	SCENARIO_CHECK(syscall(SYS_capget, &cap_header, caps) == 0, "capget");
	SCENARIO_CHECK(!memcmp(caps, wanted_caps, sizeof(caps)), "capabilities %x %x %x", caps[0].effective,
		       caps[0].permitted, caps[0].inheritable);
	SCENARIO_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0) == 1, "ambient");
	SCENARIO_CHECK(prctl(PR_CAPBSET_READ, CAP_SYS_BOOT) == 0, "bounding set");
	SCENARIO_CHECK(prctl(PR_GET_SECUREBITS) == SECBIT_NO_SETUID_FIXUP, "securebits %x", prctl(PR_GET_SECUREBITS));
	SCENARIO_CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "no_new_privs");
	SCENARIO_CHECK(prctl(PR_GET_PDEATHSIG, &value) == 0 && value == SIGUSR2, "pdeathsig %d", value);
	SCENARIO_CHECK(prctl(PR_GET_DUMPABLE) == 1, "dumpable %d", prctl(PR_GET_DUMPABLE));
}

int main(void)
{
	scenario_init();
	for (int i = 0; i < GROUPS; i++)
		groups[i] = 3000 + i * 7;
	groups[GROUPS - 1] = 4000000000u;
	SCENARIO_REQUIRE(setgroups(GROUPS, groups) == 0, "setgroups");
	/* It stays inheritable when it is no longer in the bounding set. */
	SCENARIO_REQUIRE(syscall(SYS_capget, &cap_header, wanted_caps) == 0, "capget");
	wanted_caps[0].inheritable = 1 << CAP_SYS_BOOT | 1 << CAP_KILL;
	SCENARIO_REQUIRE(syscall(SYS_capset, &cap_header, wanted_caps) == 0, "capset");
	memset(wanted_caps, 0, sizeof(wanted_caps));
	SCENARIO_REQUIRE(prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT) == 0, "bounding set");
	SCENARIO_REQUIRE(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) == 0, "securebits");
	SCENARIO_REQUIRE(setresgid(2001, 2002, 2003) == 0, "setresgid");
	SCENARIO_REQUIRE(setresuid(1001, 1002, 1003) == 0, "setresuid");
	setfsgid(2004);
	setfsuid(1004);
	/* DAC_OVERRIDE: to write into its directory. */
	wanted_caps[0].effective = 1 << CAP_DAC_OVERRIDE | 1 << CAP_KILL;
	wanted_caps[0].permitted = wanted_caps[0].effective | 1 << CAP_CHOWN;
	wanted_caps[0].inheritable = 1 << CAP_SYS_BOOT | 1 << CAP_KILL;
	SCENARIO_REQUIRE(syscall(SYS_capset, &cap_header, wanted_caps) == 0, "capset");
	SCENARIO_REQUIRE(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) == 0, "ambient");
	SCENARIO_REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
	/* After the ids: changing them clears both. */
	SCENARIO_REQUIRE(prctl(PR_SET_DUMPABLE, 1) == 0, "dumpable");
	SCENARIO_REQUIRE(prctl(PR_SET_PDEATHSIG, SIGUSR2) == 0, "pdeathsig");
	return scenario_main(check);
}
