/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Pages that can be told from each other: each word depends on a seed. For the programs (C) and their tests (C++). */
#ifndef BPFCKPT_PAGE_PATTERN_H
#define BPFCKPT_PAGE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PAGE 4096UL

static inline uint64_t pattern_word(unsigned seed, size_t index)
{
	return ((uint64_t)seed << 32 | index) * 0x9e3779b97f4a7c15ULL + 1;
}

static inline void fill_page(void *page, unsigned seed)
{
	for (size_t i = 0; i < PAGE / sizeof(uint64_t); i++) {
		uint64_t word = pattern_word(seed, i);
		memcpy((char *)page + i * sizeof(word), &word, sizeof(word));
	}
}

static inline bool page_is(const void *page, unsigned seed)
{
	for (size_t i = 0; i < PAGE / sizeof(uint64_t); i++) {
		uint64_t word = pattern_word(seed, i);
		if (memcmp((const char *)page + i * sizeof(word), &word, sizeof(word)) != 0)
			return false;
	}
	return true;
}

#endif
