// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "selftests/unit/sample_document.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace bpfckpt::test {

using namespace images;

namespace {

enum FileId : uint32_t { kTerminal = 1, kLog, kRingFile, kListener, kConnection, kEventfd, kEpoll, kPipe, kExe };

constexpr uint64_t kSecond = 1'000'000'000;

void add_process(Document &document)
{
	Process *process = document.add_processes();
	process->set_pid(4711);
	process->set_comm("echo-server");
	process->set_ppid(1);
	process->set_pgid(4711);
	process->set_sid(4711);
	process->set_cwd("/srv");
	process->set_root("/");
	process->set_exe("/usr/bin/echo-server");
	process->set_exe_file(kExe);
	process->set_address_space(1);
	process->set_fd_table(1);
	process->set_umask(022);
	for (uint32_t tid : {4711u, 4712u}) {
		Thread *thread = process->add_threads();
		thread->set_tid(tid);
		thread->set_comm(tid == 4711 ? "echo-server" : "iou-sqp-4711");
		thread->set_role(tid == 4711 ? Thread::USER : Thread::IO_URING_SQ_THREAD);
		thread->set_prstatus(std::string(size_t{27} * 8, '\1'));
		thread->mutable_scheduling()->set_affinity("\3");
		thread->mutable_credentials()->set_uid(1000);
	}
	InterruptedSyscall *syscall = process->mutable_threads(0)->mutable_syscall();
	syscall->set_nr(426);
	syscall->set_result(-4);
	syscall->set_resume(InterruptedSyscall::RESTART);
	for (uint64_t arg : {3, 0, 1, 1, 0, 8})
		syscall->add_args(arg);
	uint32_t fd = 0;
	for (uint32_t file : {kTerminal, kTerminal, kLog, kRingFile, kListener, kEventfd, kEpoll, kPipe}) {
		FdEntry *entry = process->add_files();
		entry->set_fd(fd++);
		entry->set_file(file);
		entry->set_cloexec(fd > 3);
	}
	SignalAction *action = process->add_signal_actions();
	action->set_signal(10);
	action->set_handler(0x401000);

	PosixTimer *timer = process->add_timers();
	timer->set_id(7);
	timer->set_clock("CLOCK_MONOTONIC");
	timer->set_clock_id(1);
	timer->set_interval_ns(kSecond);
	timer->set_remaining_ns(kSecond / 4);
	timer->set_armed(true);
	timer->set_overrun(3);
	timer->set_signal(34);
	IntervalTimer *interval = process->add_interval_timers();
	interval->set_which("ITIMER_REAL");
	interval->set_remaining_ns(90 * kSecond);
}

File *add_file(Document &document, FileId id, const char *kind, const char *path, uint32_t flags)
{
	File *file = document.add_files();
	file->set_id(id);
	file->set_kind(kind);
	file->set_path(path);
	file->set_flags(flags);
	file->set_references(1);
	return file;
}

void add_sockets(Document &document)
{
	Socket *listener = add_file(document, kListener, "socket", "socket:[1001]", O_RDWR)->mutable_socket();
	listener->set_family("AF_INET");
	listener->set_type("SOCK_STREAM");
	listener->set_state("LISTEN");
	listener->set_local("127.0.0.1:7000");
	listener->set_backlog(128);

	File *hidden = add_file(document, kConnection, "socket", "socket:[1002]", O_RDWR);
	hidden->set_hidden(true);
	Socket *connection = hidden->mutable_socket();
	connection->set_family("AF_INET");
	connection->set_type("SOCK_STREAM");
	connection->set_state("ESTABLISHED");
	connection->set_local("127.0.0.1:7000");
	connection->set_remote("127.0.0.1:40000");
	connection->set_receive_queue(12);
}

void add_files(Document &document)
{
	add_file(document, kTerminal, "chardev", "/dev/null", O_RDWR)->set_rdev(0x103);
	File *log = add_file(document, kLog, "regular", "/var/log/echo.log", O_WRONLY | O_APPEND);
	log->set_position(512);
	log->set_size(1536);
	log->set_mode(S_IFREG | 0644);
	log->set_deleted(true);
	add_file(document, kRingFile, "io_uring", "anon_inode:[io_uring]", O_RDWR)->mutable_io_uring()->set_ring(1);
	add_sockets(document);
	Eventfd *eventfd = add_file(document, kEventfd, "eventfd", "anon_inode:[eventfd]", O_RDWR)->mutable_eventfd();
	eventfd->set_count(2);
	eventfd->set_semaphore(true);
	EpollItem *item =
		add_file(document, kEpoll, "epoll", "anon_inode:[eventpoll]", O_RDWR)->mutable_epoll()->add_items();
	item->set_fd(5);
	item->set_file(kEventfd);
	item->set_events(POLLIN);
	item->set_data(5);
	Pipe *pipe = add_file(document, kPipe, "pipe", "pipe:[1003]", O_RDONLY)->mutable_pipe();
	pipe->set_size(65536);
	pipe->set_queued(5);
	pipe->set_data("hello");
	add_file(document, kExe, "regular", "/usr/bin/echo-server", O_RDONLY);
}

void add_requests(Ring &ring)
{
	Request *accept = ring.add_in_flight();
	accept->set_opcode(IORING_OP_ACCEPT);
	accept->set_user_data(0xabc);
	accept->set_file(kListener);
	accept->set_multishot(true);
	accept->set_where("armed poll");
	accept->set_class_(Request::REARMABLE);
	accept->set_tid(4711);
	Request *receive = ring.add_in_flight();
	receive->set_opcode(IORING_OP_RECV);
	receive->set_user_data(0xffff'ffff'0000'0001);
	receive->set_file(kConnection);
	receive->set_fixed_slot(3);
	receive->set_flags(IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT);
	receive->set_where("armed poll");
	receive->set_class_(Request::REARMABLE);
	receive->set_tid(4711);
	Request *timeout = ring.add_in_flight();
	timeout->set_opcode(IORING_OP_TIMEOUT);
	timeout->set_user_data(3);
	timeout->set_where("timeout");
	timeout->set_class_(Request::REARMABLE);
	timeout->set_remaining_ns(static_cast<int64_t>(kSecond / 2));
	timeout->set_timeout_ns(static_cast<int64_t>(kSecond));
	ring.set_in_flight_count(3);
	ring.set_complete(true);
}

void add_ring(Document &document)
{
	Ring *ring = document.add_rings();
	ring->set_id(1);
	ring->set_file(kRingFile);
	ring->set_sq_entries(64);
	ring->set_cq_entries(128);
	ring->set_flags(IORING_SETUP_SQPOLL | IORING_SETUP_CLAMP);
	ring->set_sq_head(1000);
	ring->set_sq_tail(1001);
	ring->set_cq_head(2000);
	ring->set_cq_tail(2001);
	add_requests(*ring);
	Cqe *cqe = ring->add_cqes();
	cqe->set_user_data(9);
	cqe->set_res(-11);
	Sqe *sqe = ring->add_unsubmitted();
	sqe->set_opcode(IORING_OP_NOP);
	sqe->set_user_data(10);
	ring->set_fixed_file_slots(8);
	FixedFile *slot = ring->add_fixed_files();
	slot->set_slot(3);
	slot->set_file(kConnection);
	ring->set_buffer_slots(1);
	FixedBuffer *buffer = ring->add_buffers();
	buffer->set_address(0x7f0000000000);
	buffer->set_length(4096);
	ring->mutable_eventfd()->set_file(kEventfd);
	ring->mutable_sq_thread()->set_tid(4712);
	ring->mutable_sq_thread()->set_idle_ms(100);
	RingMapping *mapping = ring->add_mappings();
	mapping->set_address_space(1);
	mapping->set_start(0x7f0000100000);
	mapping->set_end(0x7f0000102000);
}

Vma *add_vma(Memory &memory, uint64_t start, uint64_t end, uint32_t prot, Vma::Kind kind)
{
	Vma *vma = memory.add_vmas();
	vma->set_start(start);
	vma->set_end(end);
	vma->set_prot(prot);
	vma->set_kind(kind);
	return vma;
}

void add_memory(Document &document)
{
	Memory *memory = document.add_memory();
	memory->set_id(1);
	memory->add_pids(4711);
	memory->mutable_layout()->set_exe_file(kExe);
	Vma *text = add_vma(*memory, 0x400000, 0x402000, PROT_READ | PROT_EXEC, Vma::FILE_PRIVATE);
	text->set_file(kExe);
	text->set_name("/usr/bin/echo-server");
	add_vma(*memory, 0x7f0000000000, 0x7f0000010000, PROT_READ | PROT_WRITE, Vma::ANONYMOUS);
	Vma *rings = add_vma(*memory, 0x7f0000100000, 0x7f0000102000, PROT_READ | PROT_WRITE, Vma::RING);
	rings->set_ring(1);
	rings->set_shared(true);
	PageRun *run = memory->add_pages();
	run->set_start(0x7f0000000000);
	run->set_length(4096);

	SharedMemory *shared = document.add_shared_memory();
	shared->set_id(1);
	shared->set_size(4096);
	shared->set_name("/memfd:cache");
	run = shared->add_pages();
	run->set_length(4096);
	run->set_offset(4096);
}

} // namespace

Document sample_document()
{
	Document document;
	document.set_version(1);
	document.set_command("show");
	add_process(document);
	add_files(document);
	add_ring(document);
	add_memory(document);
	return document;
}

} // namespace bpfckpt::test
