// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * System V segments, by argv[1]:
 *
 *	tree      one with a key, of another owner and creator, which stays; one without, marked to be removed; attached
 *	          by a parent and its child, twice, read-only, with a page that is protected
 *	locked    SHM_LOCK
 *	part      a part of it is unmapped
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "selftests/scenarios/scenario.h"

#define PAGE 4096
#define SIZE (3 * PAGE + 100)

/* In the segment with a key. */
struct shared {
	atomic_int asked, answered;
	char text[PAGE];
};

static int key, kept, marked;
static struct shared *shared;
static char *twice, *readable, *data;
static pid_t child;
static struct shmid_ds before[2];

static void *attach(int id, int flags)
{
	void *address = shmat(id, NULL, flags);

	SCENARIO_REQUIRE(address != (void *)-1, "shmat: %m");
	return address;
}

static int make(int wanted, size_t size, int mode)
{
	int id = shmget(wanted, size, IPC_CREAT | IPC_EXCL | mode);

	if (id < 0 && errno == ENOSYS)
		scenario_skip("System V memory: %s", strerror(errno));
	SCENARIO_REQUIRE(id >= 0, "shmget: %m");
	return id;
}

/* Answers the parent's numbers through both segments. */
static void answer(void)
{
	while (getppid() != 1) {
		int asked = atomic_load(&shared->asked);

		if (asked != atomic_load(&shared->answered)) {
			snprintf(data + PAGE, PAGE, "answer %d", asked);
			atomic_store(&shared->answered, asked);
		}
		scenario_sleep_ms(1);
	}
	_exit(0);
}

static void stat_of(int id, struct shmid_ds *state)
{
	SCENARIO_REQUIRE(!shmctl(id, IPC_STAT, state), "shmctl: %m");
}

static void set_up_tree(void)
{
	struct shmid_ds state;

	key = 0x62700000 ^ getpid();
	SCENARIO_REQUIRE(!syscall(SYS_setresgid, -1, 7, -1) && !syscall(SYS_setresuid, -1, 1234, -1), "%m");
	kept = make(key, SIZE, 0640);
	SCENARIO_REQUIRE(!syscall(SYS_setresuid, -1, 0, -1) && !syscall(SYS_setresgid, -1, 0, -1), "%m");
	stat_of(kept, &state);
	state.shm_perm.uid = 4321;
	state.shm_perm.gid = 8;
	state.shm_perm.mode = 0604;
	SCENARIO_REQUIRE(!shmctl(kept, IPC_SET, &state), "%m");
	marked = make(IPC_PRIVATE, 512 * PAGE, 0600);
	shared = attach(kept, 0);
	twice = attach(kept, 0);
	readable = attach(kept, SHM_RDONLY);
	data = attach(marked, SHM_EXEC);
	SCENARIO_REQUIRE(!shmctl(marked, IPC_RMID, NULL), "%m");
	SCENARIO_REQUIRE(!mprotect(data + 2 * PAGE, PAGE, PROT_READ), "%m");
	strcpy(shared->text, "kept");
	strcpy(data + 300 * PAGE, "far in");
	child = fork();
	SCENARIO_REQUIRE(child >= 0, "%m");
	if (!child)
		answer();
	stat_of(kept, &before[0]);
	stat_of(marked, &before[1]);
	scenario_tell("key", "%d", key);
	scenario_tell("kept", "%d", kept);
}

static void compare(const char *which, int id, const struct shmid_ds *old)
{
	struct shmid_ds now;

	stat_of(id, &now);
	SCENARIO_CHECK(now.shm_perm.__key == old->shm_perm.__key && now.shm_perm.mode == old->shm_perm.mode,
		       "%s: key %x, mode %o", which, now.shm_perm.__key, now.shm_perm.mode);
	SCENARIO_CHECK(now.shm_perm.uid == old->shm_perm.uid && now.shm_perm.gid == old->shm_perm.gid &&
			       now.shm_perm.cuid == old->shm_perm.cuid && now.shm_perm.cgid == old->shm_perm.cgid,
		       "%s: owner %u:%u, creator %u:%u", which, now.shm_perm.uid, now.shm_perm.gid, now.shm_perm.cuid,
		       now.shm_perm.cgid);
	SCENARIO_CHECK(now.shm_segsz == old->shm_segsz && now.shm_nattch == old->shm_nattch,
		       "%s: %zu bytes, attached %lu times", which, now.shm_segsz, (unsigned long)now.shm_nattch);
}

static bool is_resident(const char *page)
{
	unsigned char in_core = 0;

	return !mincore((void *)page, PAGE, &in_core) && in_core & 1;
}

static void check_tree(int round)
{
	char wanted[64];
	void *again;

	compare("with a key", kept, &before[0]);
	compare("marked", marked, &before[1]);
	SCENARIO_CHECK(shmget(key, 0, 0) == kept, "the key does not lead to it");
	SCENARIO_CHECK(!strcmp(shared->text, "kept") && !strcmp(((struct shared *)(void *)readable)->text, "kept"),
		       "other content");
	SCENARIO_CHECK(!strcmp(data + 300 * PAGE, "far in") && !is_resident(data + 400 * PAGE), "other content");
	atomic_store(&((struct shared *)(void *)twice)->asked, round);
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(atomic_load(&shared->answered) == round, 15), "the child does not answer");
	snprintf(wanted, sizeof(wanted), "answer %d", round);
	SCENARIO_CHECK(!strcmp(data + PAGE, wanted), "the child does not share the other segment");
	/* Rights of each mapping: read(2) tells without a signal. */
	SCENARIO_CHECK(mprotect(readable, PAGE, PROT_READ | PROT_WRITE) && errno == EACCES, "attached for writing");
	SCENARIO_CHECK(!mprotect(data + 2 * PAGE, PAGE, PROT_READ), "%m");
	again = attach(kept, 0);
	SCENARIO_CHECK(!shmdt(again), "%m");
}

static void set_up_locked(void)
{
	marked = make(IPC_PRIVATE, SIZE, 0600);
	data = attach(marked, 0);
	SCENARIO_REQUIRE(!shmctl(marked, IPC_RMID, NULL), "%m");
	SCENARIO_REQUIRE(!shmctl(marked, SHM_LOCK, NULL), "%m");
}

static void set_up_part(void)
{
	marked = make(IPC_PRIVATE, SIZE, 0600);
	data = attach(marked, 0);
	SCENARIO_REQUIRE(!shmctl(marked, IPC_RMID, NULL), "%m");
	SCENARIO_REQUIRE(!munmap(data + PAGE, PAGE), "%m");
}

static void check(int round)
{
	if (kept)
		check_tree(round);
}

int main(int argc, char **argv)
{
	static const struct scenario_state kStates[] = {
		{"tree", set_up_tree}, {"locked", set_up_locked}, {"part", set_up_part}};
	int result = scenario_state_main(argc, argv, kStates, sizeof(kStates) / sizeof(*kStates), check);

	if (kept)
		shmctl(kept, IPC_RMID, NULL);
	return result;
}
