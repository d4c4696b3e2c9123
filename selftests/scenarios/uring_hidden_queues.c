// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Pipes, a FIFO and unix sockets that only slots of a ring hold, with what is in them: written in pieces and read in
// part, in packets, of several pages, pages of a file and of the program itself; and, refused, descriptors and
// credentials on their way.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "selftests/scenarios/uring_ring.h"

#define LARGE      (150 * 1000)
#define FILE_PAGES (3 * 4096)

enum {
	PIPE_READER,
	PIPE_WRITER,
	PACKET_READER,
	PACKET_WRITER,
	FIFO,
	STREAM,
	STREAM_PEER,
	DATAGRAMS,
	DATAGRAM_PEER,
	PACKETS,
	PACKET_PEER,
	ORPHAN,
	SHUT,
	SHUT_PEER,
	DISK, /* a file with a name */
	SLOTS,
};

static struct io_uring ring;
static char pattern[LARGE];
static char found[LARGE + 1];
static const char lent[] = "lent by the program";
static bool has_more; /* a message that carries what is refused */

/* One request, at once; gives its result. */
static int run(struct io_uring_sqe *sqe, const char *what)
{
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = 7;
	ring_submit(&ring, 1);
	return ring_expect(&ring, 7, what);
}

static void put_bytes(int slot, const char *bytes, int size)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int done;

	if (slot < STREAM)
		io_uring_prep_write(sqe, slot, bytes, (unsigned)size, -1);
	else
		io_uring_prep_send(sqe, slot, bytes, (unsigned)size, 0);
	done = run(sqe, "put");
	SCENARIO_CHECK(done == size, "slot %d: put %d of %d", slot, done, size);
}

/* Asks for more than there should be. */
static void take_bytes(int slot, const char *bytes, int size, int room)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int done;

	if (slot < STREAM)
		io_uring_prep_read(sqe, slot, found, (unsigned)room, -1);
	else
		io_uring_prep_recv(sqe, slot, found, (unsigned)room, MSG_DONTWAIT);
	done = run(sqe, "take");
	SCENARIO_CHECK(done == size, "slot %d: %d bytes in place of %d", slot, done, size);
	SCENARIO_CHECK(done != size || !memcmp(found, bytes, (size_t)size), "slot %d: other bytes", slot);
}

static void put_text(int slot, const char *text)
{
	put_bytes(slot, text, (int)strlen(text));
}

static void take_text(int slot, const char *text)
{
	take_bytes(slot, text, (int)strlen(text), LARGE);
}

/* Pages of the file into a pipe, or those of a pipe into a socket: no copies. */
static void move_pages(int from, int offset, int to, int size)
{
	struct io_uring_sqe *sqe = ring_sqe(&ring);
	int done;

	io_uring_prep_splice(sqe, from, offset, to, -1, (unsigned)size, SPLICE_F_FD_IN_FIXED);
	done = run(sqe, "splice");
	SCENARIO_CHECK(done == size, "slot %d: spliced %d of %d", to, done, size);
}

/* The rest of a page that is read in part, pages of the file from the middle of one to that of another, and more. */
static void fill_pipes(int writer)
{
	struct iovec piece = {.iov_base = (void *)lent, .iov_len = sizeof(lent)};

	put_bytes(PIPE_WRITER, pattern, 5000);
	take_bytes(PIPE_READER, pattern, 4500, 4500);
	if (writer >= 0)
		SCENARIO_REQUIRE(vmsplice(writer, &piece, 1, 0) == sizeof(lent), "%m");
	else
		put_bytes(PIPE_WRITER, lent, sizeof(lent));
	move_pages(DISK, 4000, PIPE_WRITER, 5000);
	put_bytes(PIPE_WRITER, pattern, 10000);
	put_text(PACKET_WRITER, "one");
	put_bytes(PACKET_WRITER, pattern, 4096);
	put_text(PACKET_WRITER, "three");
	put_text(FIFO, "in a FIFO");
}

static void take_pipes(void)
{
	static char expected[LARGE];
	char *end = expected;

	end = mempcpy(end, pattern + 4500, 500);
	end = mempcpy(end, lent, sizeof(lent));
	end = mempcpy(end, pattern + 4000, 5000);
	end = mempcpy(end, pattern, 10000);
	take_bytes(PIPE_READER, expected, (int)(end - expected), LARGE);
	take_text(PACKET_READER, "one");
	take_bytes(PACKET_READER, pattern, 4096, LARGE);
	take_text(PACKET_READER, "three");
	take_text(FIFO, "in a FIFO");
}

/* The large messages go on in pages of their own; what of them is read reaches into these. The pipe is empty. */
static void fill_sockets(void)
{
	move_pages(DISK, 100, PIPE_WRITER, 6000);
	move_pages(PIPE_READER, -1, SHUT_PEER, 6000);
	put_text(STREAM, "xxto the peer");
	take_bytes(STREAM_PEER, "xx", 2, 2);
	put_text(STREAM_PEER, "a");
	put_bytes(STREAM_PEER, pattern, LARGE);
	take_bytes(STREAM, "a", 1, 1);
	take_bytes(STREAM, pattern, 40000, 40000);
	put_text(DATAGRAM_PEER, "one");
	put_text(DATAGRAM_PEER, "");
	put_bytes(DATAGRAM_PEER, pattern, 60000);
	put_text(DATAGRAM_PEER, "four");
	put_text(PACKETS, "packet 1");
	put_bytes(PACKETS, pattern, 9000);
}

static void take_sockets(void)
{
	take_text(STREAM_PEER, "to the peer");
	take_bytes(STREAM, pattern + 40000, LARGE - 40000, LARGE);
	take_text(DATAGRAMS, "one");
	take_text(DATAGRAMS, "");
	take_bytes(DATAGRAMS, pattern, 60000, LARGE);
	take_text(DATAGRAMS, "four");
	take_text(PACKET_PEER, "packet 1");
	take_bytes(PACKET_PEER, pattern, 9000, LARGE);
	take_bytes(SHUT, pattern + 100, 6000, LARGE);
}

static void check(int round)
{
	take_pipes();
	take_sockets();
	if (has_more && round == 1)
		take_bytes(PACKET_PEER, lent, sizeof(lent), LARGE);
	if (round == 1)
		take_bytes(ORPHAN, pattern, 6000, LARGE);
	take_bytes(ORPHAN, "", 0, LARGE);
	take_bytes(SHUT_PEER, "", 0, LARGE);
	fill_sockets();
	fill_pipes(-1);
}

static void make_files(int *files)
{
	int orphan[2];

	SCENARIO_REQUIRE(!pipe(files + PIPE_READER) && !pipe2(files + PACKET_READER, O_DIRECT), "%m");
	SCENARIO_REQUIRE(!mkfifo("fifo", 0600), "%m");
	files[FIFO] = open("fifo", O_RDWR);
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, files + STREAM), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_DGRAM, 0, files + DATAGRAMS), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, files + PACKETS), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, files + SHUT), "%m");
	SCENARIO_REQUIRE(!shutdown(files[SHUT], SHUT_WR), "%m");
	SCENARIO_REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM, 0, orphan), "%m");
	SCENARIO_REQUIRE(write(orphan[1], pattern, 6000) == 6000, "%m");
	close(orphan[1]);
	files[ORPHAN] = orphan[0];
	files[DISK] = open("disk", O_RDWR | O_CREAT, 0600);
	SCENARIO_REQUIRE(write(files[DISK], pattern, FILE_PAGES) == FILE_PAGES, "%m");
}

/* What a message carries besides its bytes. */
static void send_with(int socket, int type, const void *data, size_t size)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(64)];
	} control = {};
	struct iovec piece = {.iov_base = (void *)lent, .iov_len = sizeof(lent)};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control};

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = type;
	control.header.cmsg_len = CMSG_LEN(size);
	memcpy(CMSG_DATA(&control.header), data, size);
	message.msg_controllen = CMSG_SPACE(size);
	SCENARIO_REQUIRE(sendmsg(socket, &message, 0) == sizeof(lent), "%m");
}

static void add_refused(const char *kind, const int *files)
{
	struct ucred own = {.pid = getpid(), .uid = getuid(), .gid = getgid()};

	if (!strcmp(kind, "rights"))
		send_with(files[PACKETS], SCM_RIGHTS, &files[DISK], sizeof(int));
	else
		send_with(files[PACKETS], SCM_CREDENTIALS, &own, sizeof(own));
}

int main(int argc, char **argv)
{
	int files[SLOTS];

	scenario_init();
	for (int i = 0; i < LARGE; i++)
		pattern[i] = (char)(i * 7 + i / 251);
	SCENARIO_REQUIRE(!io_uring_queue_init(8, &ring, 0), "%m");
	make_files(files);
	SCENARIO_REQUIRE(!io_uring_register_files(&ring, files, SLOTS), "register files");
	fill_sockets();
	fill_pipes(files[PIPE_WRITER]);
	has_more = argc > 1;
	if (has_more)
		add_refused(argv[1], files);
	for (int i = 0; i < SLOTS; i++)
		close(files[i]);
	return scenario_main(check);
}
