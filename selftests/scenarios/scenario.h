/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The inside of a scenario: a program sets up kernel state, says that it is ready, and on each round checks from within
 *that nothing has changed. It talks to the driver (driver.h) through files in its working directory only, because an
 *inherited pipe would be state that the program shares with the outside:
 *
 *	ready     the program has set up its state; holds the facts that it tells the driver, a line "key value" each
 *	go.N      from the driver: check yourself, round N = 1, 2, ...
 *	ok.N      all checks of round N held
 *	fail.N    what did not hold (fail.0: the set-up)
 *	stop      from the driver: end
 */
#ifndef BPFCKPT_SCENARIO_H
#define BPFCKPT_SCENARIO_H

#include <stdbool.h>
#include <sys/types.h>

/* First call of every program. */
void scenario_init(void);

/* Tells the driver something it cannot know, such as a descriptor's number (Scenario::fact). Before scenario_ready().
 */
void scenario_tell(const char *key, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The state stands: the driver may look. */
void scenario_ready(void);

/* Sleeps until the driver starts the next round, and returns its number; 0 when the program shall end. */
int scenario_wait(void);

/* Ends a round: ok.N if no check failed since the last one, fail.N otherwise. Returns whether it was ok. */
bool scenario_round_done(int round);

/* All of the above: ready, then check(round) for each round until told to stop. Returns main()'s value. */
int scenario_main(void (*check)(int round));

/* The state of a process as /proc tells it: 'R', 'S', 'T'; '-': there is none. */
char scenario_state_of(pid_t pid);

/* A program that is one of several states: argv[1] names which. */
struct scenario_state {
	const char *name;
	void (*set_up)(void);
};

/* scenario_init(), the state's set-up, then scenario_main(). */
int scenario_state_main(int argc, char **argv, const struct scenario_state *states, int count,
			void (*check)(int round));

/* Records a failure of the current round and goes on. Any thread of the program may. */
#define SCENARIO_CHECK(cond, ...)                                                \
	do {                                                                     \
		if (!(cond))                                                     \
			scenario_failed(__FILE__, __LINE__, #cond, __VA_ARGS__); \
	} while (0)

/* For what the program cannot go on without: records the failure, reports it, and ends the program. */
#define SCENARIO_REQUIRE(cond, ...)                                              \
	do {                                                                     \
		if (!(cond)) {                                                   \
			scenario_failed(__FILE__, __LINE__, #cond, __VA_ARGS__); \
			scenario_abort();                                        \
		}                                                                \
	} while (0)

/* The kernel lacks what the program is about: the test is skipped with this reason. Before scenario_ready(). */
void scenario_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Waits at most `seconds` until `cond` holds, looking every millisecond; evaluates to whether it did. */
#define SCENARIO_EVENTUALLY(cond, seconds)                      \
	({                                                      \
		int tries_left_ = (seconds) * 1000;             \
		bool holds_;                                    \
		while (!(holds_ = (cond)) && --tries_left_ > 0) \
			scenario_sleep_ms(1);                   \
		holds_;                                         \
	})

void scenario_sleep_ms(int ms);
void scenario_failed(const char *file, int line, const char *cond, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void scenario_abort(void) __attribute__((noreturn));

#endif
