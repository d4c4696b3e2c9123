// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A thread that is always inside of a restartable sequence: whenever it loses the CPU, the kernel must send it to the
// abort handler, which counts and begins anew. A sequence that is forgotten is never aborted again.
#include "selftests/scenarios/scenario.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/rseq.h>

static volatile unsigned long aborts;

static void *spin(void *unused)
{
	struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

	(void)unused;
	for (;;) {
		__asm__ __volatile__ goto(
			/* struct rseq_cs: version, flags, start_ip, post_commit_offset, abort_ip */
			".pushsection __rseq_cs, \"aw\"\n\t"
			".balign 32\n\t"
			"3: .long 0, 0\n\t"
			".quad 1f, 2f - 1f, 4f\n\t"
			".popsection\n\t"
			"leaq 3b(%%rip), %%rax\n\t"
			"movq %%rax, %0\n\t"
			"1: pause\n\t"
			"jmp 1b\n\t"
			"2: nop\n\t"
			".pushsection __rseq_failure, \"ax\"\n\t"
			/* The signature, as the operand of an undefined instruction. */
			".byte 0x0f, 0xb9, 0x3d\n\t"
			".long 0x53053053\n\t"
			"4: jmp %l[aborted]\n\t"
			".popsection\n\t"
			:
			: "m"(area->rseq_cs)
			: "rax", "memory", "cc"
			: aborted);
	aborted:
		aborts++;
	}
	return NULL;
}

static void check(int round)
{
	unsigned long before = aborts;

	(void)round;
	SCENARIO_CHECK(SCENARIO_EVENTUALLY(aborts > before, 10), "%lu aborts, no more since", before);
}

int main(void)
{
	pthread_t thread;

	scenario_init();
	if (!__rseq_size)
		scenario_skip("the C library has not registered restartable sequences");
	SCENARIO_REQUIRE(pthread_create(&thread, NULL, spin, NULL) == 0, "thread");
	SCENARIO_REQUIRE(SCENARIO_EVENTUALLY(aborts > 0, 10), "the sequence is never aborted");
	return scenario_main(check);
}
