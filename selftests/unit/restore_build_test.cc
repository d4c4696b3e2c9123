// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// From hand-made documents to processes: what they hold runs in them.
#include "user/restore/build.h"

#include <csignal>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "user/util/io.h"
#include "user/util/unique_fd.h"

namespace bpfckpt::restore {

// A process with one page of code at kCode and one of data.
class RestoreBuildTest : public testing::Test {
protected:
	static constexpr uint64_t kCode = 0x40000000;
	static constexpr uint64_t kData = 0x40010000;

	void SetUp() override
	{
		pages_ = UniqueFd(memfd_create("pages", MFD_CLOEXEC));
		process_ = document_.add_processes();
		process_->set_pid(free_pid());
		process_->set_exit_signal(SIGCHLD);
		process_->set_pgid(process_->pid());
		process_->set_sid(process_->pid());
		process_->set_comm("restored");
		process_->set_address_space(1);
		process_->set_dumpable(1);
		memory_ = document_.add_memory();
		memory_->set_id(1);
		add_vma(kCode, PROT_READ | PROT_EXEC);
		add_vma(kData, PROT_READ | PROT_WRITE);
		thread_ = process_->add_threads();
		thread_->set_tid(process_->pid());
		thread_->set_comm("restored");
		regs_.rip = kCode;
		regs_.cs = 0x33;
		regs_.ss = 0x2b;
		regs_.eflags = 0x202;
		regs_.orig_rax = ~0ULL;
	}
	static uint32_t free_pid()
	{
		for (uint32_t pid = 31000;; pid--)
			if (kill(static_cast<pid_t>(pid), 0) && errno == ESRCH)
				return pid;
	}
	void add_vma(uint64_t start, uint32_t prot)
	{
		images::Vma *vma = memory_->add_vmas();
		vma->set_start(start);
		vma->set_end(start + 4096);
		vma->set_prot(prot);
		vma->add_advice("ac");
	}
	void content(uint64_t address, std::string bytes)
	{
		bytes.resize(4096);
		images::PageRun *run = memory_->add_pages();
		run->set_start(address);
		run->set_length(4096);
		run->set_offset(size_);
		ASSERT_EQ(pwrite(pages_.get(), bytes.data(), bytes.size(), static_cast<off_t>(size_)), 4096);
		size_ += 4096;
	}
	Result<> build()
	{
		thread_->set_prstatus(std::string(reinterpret_cast<const char *>(&regs_), sizeof(regs_)));
		Findings findings;
		Plan plan = TRY(make_plan(document_, manifest_, findings));
		check_machine(plan, {}, findings);
		if (!findings.empty())
			return findings[0];
		BuildOptions options;
		options.pages_fd = pages_.get();
		options.pages_size = size_;
		TRY(restore::build(plan, options, Log(0)));
		return {};
	}
	int wait_for_end()
	{
		int status = -1;
		EXPECT_EQ(waitpid(static_cast<pid_t>(process_->pid()), &status, 0),
			  static_cast<pid_t>(process_->pid()));
		return status;
	}

	images::Document document_;
	images::Manifest manifest_;
	images::Process *process_ = nullptr;
	images::Thread *thread_ = nullptr;
	images::Memory *memory_ = nullptr;
	user_regs_struct regs_ = {};
	UniqueFd pages_;
	uint64_t size_ = 0;
};

// exit_group(*(uint8_t *)rbx)
static const std::string kExitWithByte("\x0f\xb6\x3b\xb8\xe7\x00\x00\x00\x0f\x05", 10);
// write(7, rbx, 8); exit_group(eax)
static const std::string
	kWriteAndExit("\xbf\x07\x00\x00\x00\x48\x89\xde\xba\x08\x00\x00\x00\xb8\x01\x00\x00\x00\x0f\x05"
		      "\x89\xc7\xb8\xe7\x00\x00\x00\x0f\x05",
		      29);
// behind a system call: edi = eax; exit_group(edi)
static const std::string kCallAndExit("\x0f\x05\x89\xc7\xb8\xe7\x00\x00\x00\x0f\x05", 11);

TEST_F(RestoreBuildTest, code_data_and_registers_are_there)
{
	content(kCode, kExitWithByte);
	content(kData, std::string(100, '\0').append("\x2a"));
	regs_.rbx = kData + 100;
	Result<> built = build();
	ASSERT_TRUE(built) << built.error().object << ": " << built.error().message;
	int status = wait_for_end();
	ASSERT_TRUE(WIFEXITED(status)) << status;
	EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST_F(RestoreBuildTest, an_eventfd_has_its_number)
{
	content(kCode, kWriteAndExit);
	content(kData, std::string("\x05\0\0\0\0\0\0\0", 8));
	regs_.rbx = kData;
	images::File *file = document_.add_files();
	file->set_id(1);
	file->set_kind("eventfd");
	file->mutable_eventfd()->set_count(3);
	images::FdEntry *entry = process_->add_files();
	entry->set_fd(7);
	entry->set_file(1);
	Result<> built = build();
	ASSERT_TRUE(built) << built.error().object << ": " << built.error().message;
	int status = wait_for_end();
	ASSERT_TRUE(WIFEXITED(status)) << status;
	EXPECT_EQ(WEXITSTATUS(status), 8);
}

TEST_F(RestoreBuildTest, a_sleep_goes_on_for_the_time_that_remained)
{
	content(kCode, kCallAndExit);
	regs_.rip = kCode + 2;
	regs_.orig_rax = 35;
	regs_.rax = static_cast<unsigned long>(-516L);
	regs_.rdi = kData;
	images::InterruptedSyscall *call = thread_->mutable_syscall();
	call->set_nr(35);
	call->set_result(-516);
	call->set_resume(images::InterruptedSyscall::RESTART_REMAINING);
	for (uint64_t arg : {kData, uint64_t{0}})
		call->add_args(arg);
	call->set_timed(true);
	call->set_remaining_ns(100'000'000);
	timespec before = {};
	clock_gettime(CLOCK_MONOTONIC, &before);
	Result<> built = build();
	ASSERT_TRUE(built) << built.error().object << ": " << built.error().message;
	int status = wait_for_end();
	timespec after = {};
	clock_gettime(CLOCK_MONOTONIC, &after);
	int64_t ns = (after.tv_sec - before.tv_sec) * 1'000'000'000LL + after.tv_nsec - before.tv_nsec;
	ASSERT_TRUE(WIFEXITED(status)) << status;
	EXPECT_EQ(WEXITSTATUS(status), 0);
	EXPECT_GE(ns, 100'000'000);
	EXPECT_LT(ns, 1'000'000'000);
}

TEST_F(RestoreBuildTest, a_failure_leaves_no_process_behind)
{
	content(kCode, kExitWithByte);
	images::IntervalTimer *timer = process_->add_interval_timers();
	timer->set_which("ITIMER_REAL");
	timer->set_remaining_ns(-1'000'000'000);
	Result<> built = build();
	ASSERT_FALSE(built);
	EXPECT_NE(built.error().message.find("setitimer"), std::string::npos) << built.error().message;
	EXPECT_EQ(kill(static_cast<pid_t>(process_->pid()), 0), -1);
}

} // namespace bpfckpt::restore
