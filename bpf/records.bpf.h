/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From BPF to user space: one mmapable array map per kind of record and a counter beside it.
 *
 * A seq_file of a BPF iterator holds at most 32 KiB per object, so records never go through it. The program takes the
 * next free record with next_record(); when the map is full it only counts on, so that user space knows how large the
 * map must be for the next round (iterators/record_map.h). Nothing is ever cut silently.
 *
 * Programs that feed one map run one after the other, so the counter is a plain integer.
 */
#pragma once

/* libbpf's headers need these first. */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Declares map `name` and counter `name_count` for records of `struct record`. max_entries is set before the load. */
#define RECORD_MAP(name, record)                   \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 1);            \
		__type(key, __u32);                \
		__type(value, struct record);      \
	} name SEC(".maps");                       \
	__u32 name##_count

/* Declares map `name` and counter `name_count` for addresses that user space has written before a program runs
 * (iterators/input_map.h). max_entries is set before the load. */
#define INPUT_MAP(name)                            \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 1);            \
		__type(key, __u32);                \
		__type(value, __u64);              \
	} name SEC(".maps");                       \
	__u32 name##_count

/* Number `index` of them; 0 behind the last. */
#define INPUT(name, index)                                                                                      \
	({                                                                                                      \
		__u32 input_index_ = (index);                                                                   \
		__u64 *input_ = input_index_ < name##_count ? bpf_map_lookup_elem(&name, &input_index_) : NULL; \
		input_ ? *input_ : 0;                                                                           \
	})

/* The next free record, or NULL if the map is full. What is in it is left from an earlier round: set every field. */
#define NEXT_RECORD(name)                                   \
	({                                                  \
		__u32 record_index_ = name##_count++;       \
		bpf_map_lookup_elem(&name, &record_index_); \
	})
