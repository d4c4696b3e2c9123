// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "user/cli/view.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <signal.h>

#include "selftests/unit/sample_document.h"
#include "user/cli/json.h"
#include "user/cli/names.h"
#include "user/cli/report.h"
#include "user/cli/terminal.h"

namespace bpfckpt::cli {

using test::sample_document;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

namespace {

std::string text_of(const Sections &sections)
{
	return render_text(sample_document(), {.sections = sections});
}

images::Document json_of(const Sections &sections)
{
	images::Document document;
	std::string text = render_json(sample_document(), sections);
	EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(text, &document).ok()) << text;
	return document;
}

} // namespace

TEST(TextViewTest, tasks_show_threads_and_what_they_wait_in)
{
	std::string text = text_of({.tasks = true});
	EXPECT_THAT(text, HasSubstr("Process 4711 echo-server"));
	EXPECT_THAT(text, ContainsRegex("4711 +echo-server +io_uring_enter"));
	EXPECT_THAT(text, ContainsRegex("4712 +iou-sqp-4711 +io_uring SQ thread"));
	EXPECT_THAT(text, HasSubstr("SIGUSR1"));
	EXPECT_THAT(text, Not(HasSubstr("/var/log/echo.log")));
}

TEST(TextViewTest, files_show_holders_flags_and_content)
{
	std::string text = text_of({.files = true});
	EXPECT_THAT(text, ContainsRegex("3 +fd 3 of 4711 +io_uring +O_RDWR"));
	EXPECT_THAT(text, ContainsRegex("fd 0 of 4711, fd 1 of 4711 +chardev +O_RDWR +/dev/null +1:3"));
	EXPECT_THAT(text, HasSubstr("/var/log/echo.log (deleted)"));
	EXPECT_THAT(text, HasSubstr("O_WRONLY|O_APPEND"));
	EXPECT_THAT(text, HasSubstr("at 512 of 1.5 KiB"));
	EXPECT_THAT(text, HasSubstr("count 2, semaphore"));
	EXPECT_THAT(text, ContainsRegex("5 +slot 3 of ring 1 +socket"));
	EXPECT_THAT(text, HasSubstr("ESTABLISHED 127.0.0.1:7000 -> 127.0.0.1:40000, queued 12 B in"));
	EXPECT_THAT(text, HasSubstr("fd 5 IN data 0x5 -> 6: anon_inode:[eventfd]"));
}

TEST(TextViewTest, rings_show_every_request_in_flight)
{
	std::string text = text_of({.rings = true});
	EXPECT_THAT(text, HasSubstr("Ring 1: fd 3 of 4711"));
	EXPECT_THAT(text, HasSubstr("IORING_SETUP_SQPOLL|IORING_SETUP_CLAMP"));
	EXPECT_THAT(text, HasSubstr("3, as many as the kernel counts"));
	EXPECT_THAT(text, ContainsRegex("1 +IORING_OP_ACCEPT +0xabc +armed poll +multishot"));
	EXPECT_THAT(
		text,
		ContainsRegex("IORING_OP_RECV +0xffffffff00000001 +armed poll +FIXED_FILE.BUFFER_SELECT.*slot 3, 5"));
	EXPECT_THAT(text, ContainsRegex("IORING_OP_TIMEOUT +0x3 +timeout +500 ms"));
	EXPECT_THAT(text, ContainsRegex("in the ring +0x9 +-11 EAGAIN"));
	EXPECT_THAT(text, HasSubstr("tid 4712, idle after 100 ms"));
}

TEST(TextViewTest, an_incomplete_enumeration_is_not_glossed_over)
{
	images::Document document = sample_document();
	document.mutable_rings(0)->set_complete(false);
	document.mutable_rings(0)->set_in_flight_count(5);
	EXPECT_THAT(render_text(document, {}), HasSubstr("3, but the kernel counts 5"));
}

TEST(TextViewTest, why_it_is_not_restorable_comes_first)
{
	images::Document document = sample_document();
	images::Reason *reason = document.add_not_restorable();
	reason->set_object("ring 1");
	reason->set_message("requests wait in it");
	EXPECT_THAT(render_text(document, {}),
		    testing::StartsWith("Not restorable: 1 reason\n  ring 1: requests wait in it\n"));
	std::string files = render_text(document, {.sections = {.files = true}});
	EXPECT_THAT(files, HasSubstr("Not restorable: 1 reason"));
	EXPECT_THAT(files, Not(HasSubstr("requests wait in it")));
}

TEST(TextViewTest, timers_show_id_and_remaining_time)
{
	std::string text = text_of({.timers = true});
	EXPECT_THAT(text, ContainsRegex("4711 +7 +CLOCK_MONOTONIC +250 ms +1 s +3 +SIGRTMIN"));
	EXPECT_THAT(text, ContainsRegex("ITIMER_REAL +1 min 30 s"));
}

TEST(TextViewTest, memory_shows_mappings_and_what_was_saved)
{
	std::string text = text_of({.memory = true});
	EXPECT_THAT(text, HasSubstr("Address space 1 of 4711: 3 mappings, 80 KiB, 4 KiB saved"));
	EXPECT_THAT(text, ContainsRegex("400000 +402000 +8 KiB +r-xp +file private +/usr/bin/echo-server"));
	EXPECT_THAT(text, ContainsRegex("7f0000000000 +7f0000010000 +64 KiB +rw-p +anonymous +4 KiB"));
	EXPECT_THAT(text, ContainsRegex("rw-s +ring +ring 1"));
}

TEST(TextViewTest, no_section_means_all)
{
	std::string text = text_of({});
	for (const char *part : {"Process 4711", "Files: 9", "Ring 1", "Timers", "Address space 1"})
		EXPECT_THAT(text, HasSubstr(part));
}

TEST(TextViewTest, colour_only_where_asked_for)
{
	EXPECT_THAT(render_text(sample_document(), {.sections = {}, .colour = true}), HasSubstr("\033["));
	EXPECT_THAT(text_of({}), Not(HasSubstr("\033[")));
}

TEST(TextViewTest, names_from_the_target_cannot_move_the_cursor)
{
	images::Document document = sample_document();
	document.mutable_processes(0)->set_comm("\033[2Jevil\n\x9b\xff");
	document.mutable_files(1)->set_path("/tmp/\033]0;x\a");
	std::string text = render_text(document, {});
	EXPECT_THAT(text, Not(HasSubstr("\033")));
	EXPECT_THAT(text, Not(HasSubstr("\a")));
	EXPECT_THAT(text, HasSubstr("\\033[2Jevil\\012\\233\\377"));
	// Turned around, "exe.txt" would read "txt.exe".
	// NOLINTNEXTLINE(misc-misleading-bidirectional): a name of a file may do that
	document.mutable_files(1)->set_path("/tmp/\xe2\x80\xae"
					    "exe.txt\xc2\x9b\xc3\xa9");
	EXPECT_THAT(render_text(document, {}), HasSubstr("/tmp/\\342\\200\\256exe.txt\\302\\233\xc3\xa9"));
	std::string json = render_json(document, {});
	EXPECT_THAT(json, HasSubstr("/tmp/\\u202eexe.txt\\u009b\xc3\xa9"));
	EXPECT_THAT(json, HasSubstr("\"\\u001b[2Jevil"));
}

TEST(TextViewTest, an_empty_document_is_empty)
{
	EXPECT_EQ(render_text({}, {}), "");
}

TEST(JsonViewTest, holds_the_whole_document_under_its_field_names)
{
	EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(json_of({}), sample_document()));
	std::string text = render_json(sample_document(), {});
	for (const char *key :
	     {"\"version\": 1", "\"command\": \"show\"", "\"in_flight_count\": 3", "\"sq_head\": 1000",
	      "\"opcode\": \"IORING_OP_RECV\"", "\"user_data\": \"2748\"", "\"interval_ns\": \"1000000000\"",
	      "\"overflow\": []", "\"personalities\": []", "\"cloexec\": false"})
		EXPECT_THAT(text, HasSubstr(key));
}

// Each field of each message type, set to something other than its default; of a oneof the last one.
static void fill(google::protobuf::Message &message)
{
	using google::protobuf::FieldDescriptor;
	const auto *reflection = message.GetReflection();
	for (int i = 0; i < message.GetDescriptor()->field_count(); i++) {
		const FieldDescriptor *field = message.GetDescriptor()->field(i);
		bool many = field->is_repeated();
		auto put = [&](auto set, auto add, const auto &value) {
			if (many)
				(reflection->*add)(&message, field, value);
			else
				(reflection->*set)(&message, field, value);
		};
		using R = google::protobuf::Reflection;
		switch (field->cpp_type()) {
		case FieldDescriptor::CPPTYPE_MESSAGE:
			fill(*(many ? reflection->AddMessage(&message, field)
				    : reflection->MutableMessage(&message, field)));
			break;
		case FieldDescriptor::CPPTYPE_STRING:
			put(&R::SetString, &R::AddString,
			    "a\"b\n\xc2\x85" + std::string(static_cast<size_t>(i % 4), 'z'));
			break;
		case FieldDescriptor::CPPTYPE_INT32:
			put(&R::SetInt32, &R::AddInt32, INT32_MIN + i);
			break;
		case FieldDescriptor::CPPTYPE_UINT32:
			put(&R::SetUInt32, &R::AddUInt32, UINT32_MAX - static_cast<uint32_t>(i));
			break;
		case FieldDescriptor::CPPTYPE_INT64:
			put(&R::SetInt64, &R::AddInt64, INT64_MIN + i);
			break;
		case FieldDescriptor::CPPTYPE_UINT64:
			put(&R::SetUInt64, &R::AddUInt64, UINT64_MAX - static_cast<uint64_t>(i));
			break;
		case FieldDescriptor::CPPTYPE_BOOL:
			put(&R::SetBool, &R::AddBool, true);
			break;
		case FieldDescriptor::CPPTYPE_ENUM:
			put(&R::SetEnumValue, &R::AddEnumValue, i % 2 ? 1 : 999);
			break;
		default:
			ADD_FAILURE() << field->full_name() << ": JsonText has no type " << field->cpp_type_name();
		}
	}
}

TEST(JsonViewTest, is_what_protobuf_prints)
{
	google::protobuf::util::JsonPrintOptions options;
	options.preserve_proto_field_names = true;
	options.always_print_primitive_fields = true;
	images::Document full;
	fill(full);
	for (const images::Document &document : {images::Document(), sample_document(), full}) {
		std::string expected;
		ASSERT_TRUE(google::protobuf::util::MessageToJsonString(document, &expected, options).ok());
		EXPECT_EQ(nlohmann::json::parse(render_json(document, {})), nlohmann::json::parse(expected));
	}
}

TEST(JsonViewTest, leaves_in_pieces_and_stops_where_they_are_not_taken)
{
	images::Document document = sample_document();
	for (int i = 0; i < 2000; i++)
		*document.add_files() = document.files(0);
	std::string text;
	size_t largest = 0;
	EXPECT_TRUE(write_json(document, {}, [&](std::string_view piece) {
		text += piece;
		largest = std::max(largest, piece.size());
		return Result<>();
	}));
	EXPECT_EQ(text, render_json(document, {}));
	EXPECT_LT(largest, 100u << 10);
	int calls = 0;
	Result<> refused = write_json(document, {}, [&calls](std::string_view) -> Result<> {
		calls++;
		return errno_error(ENOSPC, "full");
	});
	EXPECT_FALSE(refused);
	EXPECT_EQ(calls, 1);
}

TEST(JsonViewTest, a_section_leaves_the_other_arrays_empty)
{
	std::string text = render_json(sample_document(), {.memory = true});
	for (const char *key : {"\"processes\": []", "\"rings\": []"})
		EXPECT_THAT(text, HasSubstr(key));
	images::Document memory = json_of({.memory = true});
	ASSERT_EQ(memory.files_size(), 1);
	EXPECT_EQ(memory.files(0).path(), "/usr/bin/echo-server");
	images::Document timers = json_of({.timers = true});
	EXPECT_EQ(timers.processes(0).timers_size(), 1);
	EXPECT_EQ(timers.processes(0).threads_size(), 0);
	EXPECT_EQ(timers.processes(0).pid(), 4711u);
	images::Document tasks = json_of({.tasks = true});
	EXPECT_EQ(tasks.processes(0).threads_size(), 2);
	EXPECT_EQ(tasks.processes(0).files_size(), 0);
}

TEST(JsonViewTest, rings_come_with_the_files_they_refer_to)
{
	images::Document rings = json_of({.rings = true});
	EXPECT_EQ(rings.processes_size(), 0);
	EXPECT_EQ(rings.memory_size(), 0);
	ASSERT_EQ(rings.files_size(), 4);
}

TEST(JsonViewTest, names_that_are_no_utf8_are_escaped)
{
	images::Document document = sample_document();
	document.mutable_processes(0)->set_comm("a\xff\\");
	EXPECT_THAT(render_json(document, {}), HasSubstr(R"("comm": "a\\377\\134")"));
}

TEST(ReportTest, an_error_names_object_cause_and_hint)
{
	Error error = make_error(Code::kUnsupported, "is a terminal")
			      .on("fd 0 of pid 7")
			      .with_hint("redirect it")
			      .because(make_error(Code::kGone, "inner").on("x"));
	EXPECT_EQ(error_text("error", error), "bpfckpt: error: fd 0 of pid 7: is a terminal\n"
					      "  because: x: inner\n"
					      "  hint: redirect it\n");
}

TEST(ReportTest, findings_are_aligned)
{
	Findings findings;
	findings.push_back(make_error(Code::kUnsupported, "is a terminal").on("fd 0").with_hint("redirect it"));
	findings.push_back(make_error(Code::kUnsupported, "is \"odd\"").on("ring 12"));
	EXPECT_EQ(findings_text(findings), "  fd 0     is a terminal\n"
					   "             hint: redirect it\n"
					   "  ring 12  is \"odd\"\n");
	std::string json = findings_json("check", 7, findings);
	EXPECT_THAT(json, HasSubstr(R"("ok": false)"));
	EXPECT_THAT(json, HasSubstr(R"("message": "is \"odd\"")"));
	EXPECT_THAT(findings_json("check", 7, {}), HasSubstr(R"("findings": [])"));
}

TEST(NamesTest, flags_are_named_and_unknown_ones_shown)
{
	EXPECT_EQ(open_flags(O_RDWR | O_NONBLOCK), "O_RDWR|O_NONBLOCK");
	EXPECT_EQ(open_flags(O_WRONLY | O_SYNC), "O_WRONLY|O_SYNC");
	EXPECT_EQ(open_flags(O_PATH), "O_PATH");
	EXPECT_EQ(open_flags(O_DIRECTORY), "O_RDONLY|O_DIRECTORY");
	EXPECT_EQ(ring_setup_flags(1u << 30), "0x40000000");
	EXPECT_EQ(poll_events(1u | 1u << 31), "IN|ET");
	EXPECT_EQ(cqe_flags(7u << 16 | 3), "BUFFER|MORE (buffer 7)");
	EXPECT_EQ(signal_name(SIGTERM), "SIGTERM");
	EXPECT_EQ(signal_name(36), "SIGRTMIN+2");
	EXPECT_EQ(signal_set(1u << 1 | 1u << 14), "SIGINT,SIGTERM");
	EXPECT_EQ(cpu_list("\x0f\x01"), "0-3,8");
	EXPECT_EQ(capabilities(0), "none");
}

TEST(NamesTest, results_that_are_errors)
{
	EXPECT_EQ(errno_name(0), "0");
	EXPECT_EQ(errno_name(12), "12");
	EXPECT_EQ(errno_name(-ECANCELED), fmt::format("{} ECANCELED", -ECANCELED));
	EXPECT_EQ(errno_name(-4095), "-4095");
	EXPECT_EQ(errno_name(INT32_MIN), "-2147483648");
}

TEST(TerminalTest, units)
{
	EXPECT_EQ(human_bytes(0), "0 B");
	EXPECT_EQ(human_bytes(1536), "1.5 KiB");
	EXPECT_EQ(human_bytes(uint64_t{2} << 30), "2 GiB");
	EXPECT_EQ(human_bytes(UINT64_MAX), "16 EiB");
	EXPECT_EQ(human_duration(0), "0 ns");
	EXPECT_EQ(human_duration(250'000'000), "250 ms");
	EXPECT_EQ(human_duration(-1'500'000'000), "-1.5 s");
	EXPECT_EQ(human_duration(INT64_MIN), "-106751 d 23 h");
	EXPECT_EQ(count_of(2, "address space"), "2 address spaces");
	EXPECT_EQ(count_of(1, "ring"), "1 ring");
}

TEST(TerminalTest, tables_align_and_leave_out_what_is_empty)
{
	Table table({{"A", Table::Align::kRight}, {"EMPTY"}, {"B"}});
	table.row({"1", "", "x"});
	table.note("more");
	table.row({"100", "", "caf\xc3\xa9"});
	EXPECT_EQ(table.text(Palette(false)), "    A  B\n    1  x\n       more\n  100  caf\xc3\xa9\n");
}

} // namespace bpfckpt::cli
