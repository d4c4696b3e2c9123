// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The inside of a scenario, see scenario.h. Holds no descriptor open between calls: the state that is dumped is the
// program's own.
#include "selftests/scenarios/scenario.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	kPollMs = 2,
	// A driver that was killed leaves no `stop`; its programs end all the same.
	kAbandonedMs = 600 * 1000,
};

struct text {
	char bytes[8192];
	size_t used;
};

static struct text failures, facts;
static pthread_mutex_t failures_lock = PTHREAD_MUTEX_INITIALIZER;
static int current_round;

static void append(struct text *text, const char *fmt, va_list args)
{
	size_t room = sizeof(text->bytes) - text->used;
	int n = vsnprintf(text->bytes + text->used, room, fmt, args);

	if (n > 0)
		text->used += (size_t)n < room ? (size_t)n : room - 1;
}

static void append_args(struct text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void append_args(struct text *text, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	append(text, fmt, args);
	va_end(args);
}

// The driver must never see half a file: written under another name, then renamed.
static void create(const char *name, const struct text *text)
{
	char temporary[64];
	int fd;

	snprintf(temporary, sizeof(temporary), "%s.tmp", name);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || (text && write(fd, text->bytes, text->used) != (ssize_t)text->used) || close(fd) < 0 ||
	    rename(temporary, name) < 0) {
		fprintf(stderr, "scenario: %s: %s\n", name, strerror(errno));
		_exit(1);
	}
}

static void create_numbered(const char *kind, int round, const struct text *text)
{
	char name[32];

	snprintf(name, sizeof(name), "%s.%d", kind, round);
	create(name, text);
}

void scenario_init(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
}

void scenario_tell(const char *key, const char *fmt, ...)
{
	va_list args;

	append_args(&facts, "%s ", key);
	va_start(args, fmt);
	append(&facts, fmt, args);
	va_end(args);
	append_args(&facts, "\n");
}

void scenario_skip(const char *fmt, ...)
{
	struct text reason = {};
	va_list args;

	va_start(args, fmt);
	append(&reason, fmt, args);
	va_end(args);
	create("skip", &reason);
	_exit(0);
}

void scenario_ready(void)
{
	if (failures.used)
		scenario_abort();
	create("ready", &facts);
}

void scenario_sleep_ms(int ms)
{
	struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR)
		;
}

int scenario_wait(void)
{
	char go[32];

	snprintf(go, sizeof(go), "go.%d", current_round + 1);
	for (int waited = 0; waited < kAbandonedMs; waited += kPollMs) {
		if (!access("stop", F_OK))
			return 0;
		if (!access(go, F_OK))
			return ++current_round;
		scenario_sleep_ms(kPollMs);
	}
	return 0;
}

bool scenario_round_done(int round)
{
	bool ok;

	pthread_mutex_lock(&failures_lock);
	ok = !failures.used;
	create_numbered(ok ? "ok" : "fail", round, &failures);
	failures.used = 0;
	pthread_mutex_unlock(&failures_lock);
	return ok;
}

int scenario_main(void (*check)(int round))
{
	bool ok = true;
	int round;

	scenario_ready();
	while ((round = scenario_wait())) {
		check(round);
		ok &= scenario_round_done(round);
	}
	return ok ? 0 : 1;
}

char scenario_state_of(pid_t pid)
{
	char path[64], line[512] = "", *end;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return '-';
	end = fgets(line, sizeof(line), file) ? strrchr(line, ')') : NULL;
	fclose(file);
	return end ? end[2] : '-';
}

int scenario_state_main(int argc, char **argv, const struct scenario_state *states, int count, void (*check)(int round))
{
	int i;

	scenario_init();
	for (i = 0; i < count && (argc < 2 || strcmp(argv[1], states[i].name)); i++)
		;
	SCENARIO_REQUIRE(i < count, "no state %s", argc < 2 ? "" : argv[1]);
	states[i].set_up();
	return scenario_main(check);
}

void scenario_failed(const char *file, int line, const char *cond, const char *fmt, ...)
{
	int saved_errno = errno;
	va_list args;

	pthread_mutex_lock(&failures_lock);
	append_args(&failures, "%s:%d: %s: ", file, line, cond);
	errno = saved_errno;
	va_start(args, fmt);
	append(&failures, fmt, args);
	va_end(args);
	append_args(&failures, "\n");
	pthread_mutex_unlock(&failures_lock);
}

void scenario_abort(void)
{
	scenario_round_done(current_round);
	_exit(1);
}
