// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a thread or a process has in its task_struct only, and a dump refuses by name; argv[1] says which.
#include "selftests/scenarios/scenario.h"

#include <asm/ldt.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int semaphores = -1;

/* Semaphores outlive us, so they go in the round after the dump. */
static void check(int round)
{
	(void)round;
	if (semaphores >= 0)
		semctl(semaphores, 0, IPC_RMID);
	semaphores = -1;
}

static void make_keyring(void)
{
	/* KEY_SPEC_PROCESS_KEYRING */
	if (syscall(SYS_add_key, "user", "bpfckpt-test", "secret", 6, -2) < 0)
		scenario_skip("add_key: %s", strerror(errno));
}

static void owe_semaphore(void)
{
	struct sembuf give = {.sem_num = 0, .sem_op = 1, .sem_flg = SEM_UNDO};
	int id = semget(IPC_PRIVATE, 1, 0600);

	if (id < 0)
		scenario_skip("semget: %s", strerror(errno));
	SCENARIO_REQUIRE(semop(id, &give, 1) == 0, "%s", strerror(errno));
	semaphores = id;
}

static void make_segment(void)
{
	struct user_desc segment = {
		.entry_number = (unsigned)-1, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1};

	if (syscall(SYS_set_thread_area, &segment))
		scenario_skip("set_thread_area: %s", strerror(errno));
}

static void make_descriptor_table(void)
{
	struct user_desc segment = {.entry_number = 0, .limit = 0xfffff, .seg_32bit = 1, .limit_in_pages = 1};

	if (syscall(SYS_modify_ldt, 1, &segment, sizeof(segment)))
		scenario_skip("modify_ldt: %s", strerror(errno));
}

static void restore_timer_ids(void)
{
	if (prctl(77 /* PR_TIMER_CREATE_RESTORE_IDS */, 1, 0, 0, 0))
		scenario_skip("PR_TIMER_CREATE_RESTORE_IDS: %s", strerror(errno));
}

/* No descriptor of it is left: only the session knows. */
static void take_terminal(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	pid_t pid;
	int slave;

	SCENARIO_REQUIRE(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0, "%s", strerror(errno));
	pid = fork();
	if (pid == 0) {
		/* The master stays open in here: without it the terminal hangs up. It is refused as well. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setsid();
		slave = open(ptsname(master), O_RDWR);
		ioctl(slave, TIOCSCTTY, 0);
		close(slave);
		for (;;)
			pause();
	}
	close(master);
	SCENARIO_REQUIRE(pid > 0, "fork");
}

static volatile bool unshared;

static void *unshare_files(void *unused)
{
	(void)unused;
	if (unshare(CLONE_FILES))
		scenario_skip("unshare: %s", strerror(errno));
	unshared = true;
	for (;;)
		pause();
	return NULL;
}

static void start_thread_with_files(void)
{
	pthread_t thread;

	SCENARIO_REQUIRE(pthread_create(&thread, NULL, unshare_files, NULL) == 0, "thread");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(unshared, 10), "unshare");
}

static void enter_landlock(void)
{
	struct landlock_ruleset_attr rules = {.handled_access_fs = LANDLOCK_ACCESS_FS_MAKE_BLOCK};
	int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);

	if (fd < 0)
		scenario_skip("landlock: %s", strerror(errno));
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	SCENARIO_REQUIRE(syscall(SYS_landlock_restrict_self, fd, 0) == 0, "landlock: %s", strerror(errno));
	close(fd);
}

static void unshare_children(void)
{
	if (unshare(CLONE_NEWPID))
		scenario_skip("unshare: %s", strerror(errno));
}

static void (*in_thread)(void);

static void *second_thread(void *unused)
{
	in_thread();
	unshared = true;
	for (;;)
		pause();
	return unused;
}

static void start_thread_that(void (*does)(void))
{
	pthread_t thread;

	in_thread = does;
	SCENARIO_REQUIRE(pthread_create(&thread, NULL, second_thread, NULL) == 0, "thread");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(unshared, 10), "the thread is not ready");
}

static void enter_landlock_in_thread(void)
{
	start_thread_that(enter_landlock);
}

static void unshare_children_in_thread(void)
{
	start_thread_that(unshare_children);
}

/* A child does: the program itself needs its own. */
static void enter_directory_of_the_gone(void)
{
	char path[32], byte;
	int ends[2];
	pid_t gone = fork();

	if (!gone)
		for (;;)
			pause();
	snprintf(path, sizeof(path), "/proc/%d", gone);
	SCENARIO_REQUIRE(gone > 0 && !pipe(ends), "%m");
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!chdir(path) && write(ends[1], "", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	SCENARIO_REQUIRE(read(ends[0], &byte, 1) == 1, "no child is there");
	SCENARIO_REQUIRE(!kill(gone, SIGKILL) && waitpid(gone, NULL, 0) == gone, "%m");
}

/* A mount that is in no mount namespace. The scenario's own files are reached by ".", which it still is. */
static void enter_detached_mount(void)
{
	int fd = (int)syscall(SYS_open_tree, AT_FDCWD, ".", 1 /* OPEN_TREE_CLONE */);

	if (fd < 0)
		scenario_skip("open_tree: %s", strerror(errno));
	SCENARIO_REQUIRE(fchdir(fd) == 0, "fchdir: %s", strerror(errno));
	close(fd);
}

static void make_detached_root(void)
{
	enter_detached_mount();
	SCENARIO_REQUIRE(chroot(".") == 0, "chroot: %s", strerror(errno));
}

/* What AppArmor's policy namespace of the test does not confine: a label of its own, without a profile. */
static void take_label(void)
{
	static const char change[] = "changeprofile :bpfckpt_test:unconfined";
	int fd = open("/proc/self/attr/current", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, change, sizeof(change) - 1) != sizeof(change) - 1)
		scenario_skip("changeprofile: %s", strerror(errno));
	close(fd);
}

static void take_label_in_thread(void)
{
	start_thread_that(take_label);
}

static const struct scenario_state states[] = {
	{"label", take_label},
	{"label_thread", take_label_in_thread},
	{"landlock", enter_landlock},
	{"landlock_thread", enter_landlock_in_thread},
	{"children", unshare_children_in_thread},
	{"detached_directory", enter_detached_mount},
	{"gone_directory", enter_directory_of_the_gone},
	{"detached_root", make_detached_root},
	{"keyring", make_keyring},
	{"sem_undo", owe_semaphore},
	{"segment", make_segment},
	{"ldt", make_descriptor_table},
	{"timers", restore_timer_ids},
	{"terminal", take_terminal},
	{"private_files", start_thread_with_files},
};

int main(int argc, char **argv)
{
	return scenario_state_main(argc, argv, states, sizeof(states) / sizeof(states[0]), check);
}
