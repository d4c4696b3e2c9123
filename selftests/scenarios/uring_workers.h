/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For programs whose requests are executed by workers of io-wq. */
#ifndef BPFCKPT_URING_WORKERS_H
#define BPFCKPT_URING_WORKERS_H

#include <dirent.h>
#include <stdio.h>

#include "selftests/scenarios/uring_ring.h"

/* A worker that sleeps has begun with its work, and waits; or has none. */
static inline int sleeping_workers(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	int count = 0;

	while (tasks && (entry = readdir(tasks))) {
		char path[64], text[256] = "";
		FILE *file;

		snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", entry->d_name);
		file = fopen(path, "re");
		if (file && fgets(text, sizeof(text), file))
			count += strstr(text, "(iou-wrk-") && strstr(text, ") S ");
		if (file)
			fclose(file);
	}
	closedir(tasks);
	return count;
}

#endif
