// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Any bytes as the records that the io_uring programs leave: what a live walk over memory that changes may give. The
// collector must make a document of them, of bounded size, that the validator and both views take without harm.
//
// A record follows a byte that tells its kind; what is missing of the last one is zero. Addresses are cut down to a
// few, so that records name each other.
#include <cstdlib>

#include "images/validate.h"
#include "selftests/fuzz/record_input.h"
#include "user/cli/json.h"
#include "user/cli/view.h"
#include "user/collect/uring.h"

using namespace bpfckpt;
using fuzz::cut_down;
using fuzz::Input;

namespace {

struct Records {
	std::vector<uring_ring_record> rings;
	std::vector<uring_count_record> counts;
	std::vector<uring_attachment_record> attachments;
	std::vector<uring_task_record> tasks;
	std::vector<uring_request_record> requests;
	std::vector<uring_file_record> files;
	std::vector<uring_buffer_record> buffers;
	std::vector<uring_bvecs_record> bvecs;
	std::vector<uring_personality_record> personalities;
	std::vector<group_record> credential_groups;
	std::vector<uring_group_record> groups;
	std::vector<uring_provided_record> provided;
	std::vector<uring_overflow_record> overflow;
	std::vector<uring_blob_record> blobs;
	std::vector<uring_page_record> pages;

	explicit Records(Input input)
	{
		while (!input.empty())
			add(input);
		// The reader asks for each ring once.
		std::ranges::sort(rings, {}, &uring_ring_record::ring);
		auto twice = std::ranges::unique(rings, {}, &uring_ring_record::ring);
		rings.erase(twice.begin(), twice.end());
	}
	void add(Input &input);
	[[nodiscard]] size_t size_of_shared_groups() const
	{
		return personalities.size() * credential_groups.size() * sizeof(group_record);
	}
	[[nodiscard]] iterators::UringRecords views() const
	{
		return {.rings = rings,
			.counts = counts,
			.attachments = attachments,
			.tasks = tasks,
			.requests = requests,
			.files = files,
			.buffers = buffers,
			.bvecs = bvecs,
			.personalities = personalities,
			.credential_groups = credential_groups,
			.groups = groups,
			.provided = provided,
			.overflow = overflow,
			.blobs = blobs,
			.pages = pages};
	}
};

template <class Record>
Record &take_into(std::vector<Record> &records, Input &input)
{
	return records.emplace_back(input.take<Record>());
}

void Records::add(Input &input)
{
	switch (input.take<uint8_t>() % 15) {
	case 0:
		cut_down(take_into(rings, input).ring, rings.back().eventfd_ctx);
		break;
	case 1:
		cut_down(take_into(counts, input).ring);
		break;
	case 2:
		cut_down(take_into(attachments, input).ring, attachments.back().tctx, attachments.back().cred);
		break;
	case 3:
		cut_down(take_into(tasks, input).tctx);
		break;
	case 4: {
		uring_request_record &record = take_into(requests, input);
		cut_down(record.request, record.ring, record.file, record.file_node, record.tctx, record.link,
			 record.creds, record.task_work);
		break;
	}
	case 5:
		cut_down(take_into(files, input).ring, files.back().file, files.back().node);
		break;
	case 6:
		cut_down(take_into(buffers, input).ring, buffers.back().imu);
		break;
	case 7:
		cut_down(take_into(bvecs, input).imu);
		break;
	case 8:
		cut_down(take_into(personalities, input).ring, personalities.back().credentials.cred,
			 personalities.back().credentials.group_info);
		break;
	case 9:
		cut_down(take_into(credential_groups, input).group_info);
		break;
	case 10:
		cut_down(take_into(groups, input).ring, groups.back().list);
		break;
	case 11:
		cut_down(take_into(provided, input).ring, provided.back().list);
		break;
	case 12:
		cut_down(take_into(overflow, input).ring);
		break;
	case 13:
		cut_down(take_into(blobs, input).request);
		break;
	default:
		cut_down(take_into(pages, input).owner);
		break;
	}
}

const iterators::KernelLayout &layout()
{
	static const auto loaded = iterators::KernelLayout::load();
	if (!loaded)
		abort();
	return *loaded;
}

// A process with one thread, and a file on descriptor 0: what requests may name.
void add_process(collect::Context &context)
{
	images::Process &process = *context.document->add_processes();
	process.set_pid(1);
	process.add_threads()->set_tid(1);
	process.add_files()->set_file(context.ids.files.id_of(1));
	context.document->add_files()->set_id(1);
	context.ids.rings.id_of(1);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Records records(Input(data, size));
	images::Document document;
	collect::Context context;
	context.document = &document;
	add_process(context);
	collect::RingChecks checks;
	checks.functions = {{1, "io_poll_task_func"}, {2, "io_req_task_complete"}, {3, "io_timeout_complete"}};
	std::vector<file_record> files(2);
	files[0].file = 1;
	files[0].kind = FILE_KIND_IO_URING;
	files[0].private_data = 1;
	files[1].file = 2;
	files[1].kind = FILE_KIND_EVENTFD;
	files[1].private_data = 1;

	collect::collect_rings(records.views(), layout(), {.files = files}, checks, context);
	// Every record is in the document a few times at most, but for groups that personalities share.
	if (document.ByteSizeLong() > 4096 + 64 * size + records.size_of_shared_groups())
		abort();
	(void)images::validate(document, UINT64_MAX);
	(void)cli::render_text(document, {});
	(void)cli::render_json(document, cli::Sections{});
	return 0;
}
