// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Every register of a thread that runs in user mode: it spins with its own values in all of them until it is told to
// store them. General, x87, SSE, AVX, AVX-512 and mask registers, MXCSR, and the x87 control word.
#include "selftests/scenarios/scenario.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define THREADS 2

struct registers {
	uint8_t vector[32][64]; /* 0: zmm0 ... */
	uint64_t mask[8];
	uint64_t general[6]; /* rbx, r12 to r15, rsi */
	uint64_t x87[8];     /* doubles */
	uint32_t mxcsr;
	uint16_t control; /* of the x87 */
};

static struct thread {
	pthread_t id;
	struct registers wanted, found;
	volatile int stop;
} threads[THREADS];

static bool has_avx512, has_avx;

#define VECTORS_512(op)                                                                                              \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15) op(16) \
		op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) op(27) op(28) op(29) op(30)    \
			op(31)
#define VECTORS(op) \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD_ZMM(n)  "vmovdqu64 " #n "*64(%[wanted]), %%zmm" #n "\n"
#define STORE_ZMM(n) "vmovdqu64 %%zmm" #n ", " #n "*64(%[found])\n"
#define LOAD_YMM(n)  "vmovdqu " #n "*64(%[wanted]), %%ymm" #n "\n"
#define STORE_YMM(n) "vmovdqu %%ymm" #n ", " #n "*64(%[found])\n"
#define LOAD_XMM(n)  "movdqu " #n "*64(%[wanted]), %%xmm" #n "\n"
#define STORE_XMM(n) "movdqu %%xmm" #n ", " #n "*64(%[found])\n"
#define MASKS(op)    op(1) op(2) op(3) op(4) op(5) op(6) op(7)
#define LOAD_K(n)    "kmovq 2048+" #n "*8(%[wanted]), %%k" #n "\n"
#define STORE_K(n)   "kmovq %%k" #n ", 2048+" #n "*8(%[found])\n"
#define LOAD_X87(n)  "fldl 2160+" #n "*8(%[wanted])\n"
#define STORE_X87(n) "fstpl 2160+" #n "*8(%[found])\n"

/* Push 7 to 0, pop 0 to 7. */
#define LOAD_REST                                                                                                  \
	"fninit\n" LOAD_X87(7) LOAD_X87(6) LOAD_X87(5) LOAD_X87(4) LOAD_X87(3) LOAD_X87(2) LOAD_X87(1)             \
		LOAD_X87(0) "ldmxcsr 2224(%[wanted])\nfldcw 2228(%[wanted])\n"                                     \
			    "mov 2112(%[wanted]), %%rbx\nmov 2120(%[wanted]), %%r12\nmov 2128(%[wanted]), %%r13\n" \
			    "mov 2136(%[wanted]), %%r14\nmov 2144(%[wanted]), %%r15\nmov 2152(%[wanted]), %%rsi\n"
#define SPIN "1: pause\ncmpl $0, (%[stop])\nje 1b\n"
#define STORE_REST                                                                                            \
	"mov %%rbx, 2112(%[found])\nmov %%r12, 2120(%[found])\nmov %%r13, 2128(%[found])\n"                   \
	"mov %%r14, 2136(%[found])\nmov %%r15, 2144(%[found])\nmov %%rsi, 2152(%[found])\n"                   \
	"stmxcsr 2224(%[found])\nfnstcw 2228(%[found])\n" STORE_X87(0) STORE_X87(1) STORE_X87(2) STORE_X87(3) \
		STORE_X87(4) STORE_X87(5) STORE_X87(6) STORE_X87(7) "fninit\nldmxcsr %[usual]\n"

_Static_assert(offsetof(struct registers, mask) == 2048, "mask");
_Static_assert(offsetof(struct registers, general) == 2112, "general");
_Static_assert(offsetof(struct registers, x87) == 2160, "x87");
_Static_assert(offsetof(struct registers, mxcsr) == 2224, "mxcsr");
_Static_assert(offsetof(struct registers, control) == 2228, "control");

static const uint32_t usual_mxcsr = 0x1f80;

#define OPERANDS                                                                                                          \
	:                                                                                                         \
	: [wanted] "a"(&thread->wanted), [found] "d"(&thread->found), [stop] "c"(&thread->stop), [usual] "m"(usual_mxcsr) \
	: "memory", "rbx", "rsi", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", \
	  "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

__attribute__((target("avx512f,avx512bw"))) static void spin_avx512(struct thread *thread)
{
	__asm__ volatile(VECTORS_512(LOAD_ZMM) MASKS(LOAD_K) LOAD_REST SPIN VECTORS_512(STORE_ZMM) MASKS(STORE_K)
				 STORE_REST OPERANDS,
			 "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",
			 "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6",
			 "k7");
}

__attribute__((target("avx"))) static void spin_avx(struct thread *thread)
{
	__asm__ volatile(VECTORS(LOAD_YMM) LOAD_REST SPIN VECTORS(STORE_YMM) STORE_REST OPERANDS);
}

static void spin_sse(struct thread *thread)
{
	__asm__ volatile(VECTORS(LOAD_XMM) LOAD_REST SPIN VECTORS(STORE_XMM) STORE_REST OPERANDS);
}

static void *run(void *arg)
{
	struct thread *thread = arg;

	if (has_avx512)
		spin_avx512(thread);
	else if (has_avx)
		spin_avx(thread);
	else
		spin_sse(thread);
	return NULL;
}

static void start(struct thread *thread, unsigned seed)
{
	struct registers *wanted = &thread->wanted;
	uint8_t *bytes = (uint8_t *)wanted;

	for (size_t i = 0; i < sizeof(*wanted); i++)
		bytes[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 6));
	for (int i = 0; i < 8; i++) {
		double value = seed + i / 3.0;

		memcpy(&wanted->x87[i], &value, sizeof(value));
	}
	wanted->mask[0] = 0; /* k0 cannot be a mask */
	wanted->mxcsr = 0x1f80 | (seed & 3) << 13;
	wanted->control = (uint16_t)(0x37f | (seed & 3) << 10);
	memset(&thread->found, 0, sizeof(thread->found));
	thread->stop = 0;
	SCENARIO_REQUIRE(pthread_create(&thread->id, NULL, run, thread) == 0, "thread");
}

static void check_thread(unsigned index)
{
	struct thread *thread = &threads[index];
	size_t width = has_avx512 ? 64 : has_avx ? 32 : 16;

	thread->stop = 1;
	pthread_join(thread->id, NULL);
	for (int i = 0; i < (has_avx512 ? 32 : 16); i++)
		SCENARIO_CHECK(!memcmp(thread->wanted.vector[i], thread->found.vector[i], width), "vector %d", i);
	for (int i = 1; i < 8 && has_avx512; i++)
		SCENARIO_CHECK(thread->wanted.mask[i] == thread->found.mask[i], "k%d", i);
	SCENARIO_CHECK(!memcmp(thread->wanted.general, thread->found.general, sizeof(thread->wanted.general)),
		       "general");
	SCENARIO_CHECK(!memcmp(thread->wanted.x87, thread->found.x87, sizeof(thread->wanted.x87)), "x87");
	SCENARIO_CHECK(thread->wanted.mxcsr == (thread->found.mxcsr & ~0x3fU), "mxcsr %#x", thread->found.mxcsr);
	SCENARIO_CHECK(thread->wanted.control == thread->found.control, "control word %#x", thread->found.control);
}

static void check(int round)
{
	for (unsigned i = 0; i < THREADS; i++) {
		check_thread(i);
		start(&threads[i], (unsigned)round * THREADS + i);
	}
	scenario_sleep_ms(20);
}

int main(void)
{
	scenario_init();
	has_avx = __builtin_cpu_supports("avx");
	has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
	for (unsigned i = 0; i < THREADS; i++)
		start(&threads[i], i + 1);
	scenario_sleep_ms(20);
	return scenario_main(check);
}
