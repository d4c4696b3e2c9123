// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "images/records.h"

#include <cstring>
#include <set>
#include <span>
#include <vector>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/stubs/logging.h>
#include <sys/utsname.h>

#include "images/digest.h"
#include "images/text.h"
#include "images/wire.h"
#include "user/util/cores.h"

namespace bpfckpt::images {

namespace {

constexpr size_t kRecordsAtATime = 500;

Error corrupt(const char *message)
{
	return {Code::kCorrupt, message};
}

Result<> check_header(std::string_view bytes, Kind kind)
{
	Header header;
	if (bytes.size() < sizeof(header))
		return corrupt("is truncated: it has no header");
	memcpy(&header, bytes.data(), sizeof(header));
	if (header.magic != kMagic)
		return corrupt("is no image of bpfckpt");
	if (header.version != kFormatVersion)
		return make_error(Code::kMismatch, "has format version {}, {} than {}, which this bpfckpt reads",
				  header.version, header.version > kFormatVersion ? "newer" : "older", kFormatVersion)
			.with_hint("use the version of bpfckpt that wrote it");
	if (header.kind != static_cast<uint32_t>(kind))
		return corrupt("holds another kind of record than its name says");
	return {};
}

Result<> check_manifest(const Manifest &manifest)
{
	utsname machine;
	::uname(&machine);
	if (manifest.architecture() != machine.machine)
		return make_error(Code::kMismatch, "is from another architecture: {}", manifest.architecture())
			.with_hint("restore on a machine like the one of the dump");

	std::set<std::string_view> names;
	for (const ImageFile &file : manifest.files()) {
		if (file.name().empty() || file.name().front() == '.' || file.name().find('/') != std::string::npos ||
		    file.name() == kManifestName)
			return corrupt("names a file that cannot be part of a checkpoint");
		if (file.xxh3_128().size() != Digest::kSize)
			return corrupt("has a digest of a wrong size");
		if (!names.insert(file.name()).second)
			return make_error(Code::kCorrupt, "names {} twice", file.name());
	}
	for (const RecordFile &file : kRecordFiles)
		if (!names.contains(file.name))
			return make_error(Code::kCorrupt, "does not name {}", file.name);
	return {};
}

template <class Message>
Result<> parse_whole(Message &message, std::string_view bytes)
{
	if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
		return corrupt("holds a record that cannot be decoded");
	WireContent content = wire_content(*Message::descriptor(), bytes);
	if (content.unknown_fields)
		return make_error(Code::kMismatch, "holds state that this bpfckpt does not know")
			.with_hint("use the version of bpfckpt that wrote it");
	return content.escapes ? decode_strings(message) : Result<>();
}

// The records of a file, without their lengths, some thousands at a time: what is in one is looked at before all are
// found.
class RecordSplitter {
public:
	explicit RecordSplitter(std::string_view bytes)
		: bytes_(bytes),
		  lengths_(reinterpret_cast<const uint8_t *>(bytes.data()), static_cast<int>(bytes.size()))
	{
	}
	// Empty: there are no more.
	Result<std::vector<std::string_view>> next();

private:
	static constexpr size_t kMost = 32768;

	std::string_view bytes_;
	google::protobuf::io::CodedInputStream lengths_;
	size_t position_ = 0;
	size_t count_ = 0;
};

Result<std::vector<std::string_view>> RecordSplitter::next()
{
	std::vector<std::string_view> records;
	while (position_ < bytes_.size() && records.size() < kMost) {
		uint32_t length = 0;
		if (!lengths_.ReadVarint32(&length))
			return make_error(Code::kCorrupt, "is truncated after record {}", count_);
		position_ = static_cast<size_t>(lengths_.CurrentPosition());
		count_++;
		// No record is empty: each has an id.
		if (length == 0 || length > bytes_.size() - position_)
			return make_error(Code::kCorrupt, "is truncated within record {}", count_);
		records.push_back(bytes_.substr(position_, length));
		lengths_.Skip(static_cast<int>(length));
		position_ += length;
	}
	return records;
}

// By all cores together: there may be thousands.
template <class Message>
Result<> parse_some(std::span<const std::string_view> records, google::protobuf::RepeatedPtrField<Message> &out,
		    google::protobuf::Arena *arena)
{
	std::vector<Message *> messages(records.size());
	Result<> parsed = for_each_on_cores(records.size(), kRecordsAtATime, [&](size_t i) {
		messages[i] = google::protobuf::Arena::CreateMessage<Message>(arena);
		return parse_whole(*messages[i], records[i]);
	});
	out.Reserve(out.size() + static_cast<int>(messages.size()));
	for (Message *message : messages)
		if (message)
			out.UnsafeArenaAddAllocated(message);
	return parsed;
}

template <class Message>
Result<uint32_t> parse_all(std::string_view bytes, google::protobuf::RepeatedPtrField<Message> &out,
			   google::protobuf::Arena *arena)
{
	google::protobuf::LogSilencer quiet; // what is wrong with one is in the error
	RecordSplitter splitter(bytes);
	uint32_t count = 0;
	for (;;) {
		std::vector<std::string_view> records = TRY(splitter.next());
		if (records.empty())
			return count;
		TRY(parse_some<Message>(records, out, arena));
		count += static_cast<uint32_t>(records.size());
	}
}

} // namespace

Result<Manifest> parse_manifest(std::string_view bytes)
{
	if (bytes.size() < sizeof(Header) + Digest::kSize)
		return corrupt("is truncated");
	std::string_view body = bytes.substr(0, bytes.size() - Digest::kSize);
	Header header;
	memcpy(&header, body.data(), sizeof(header));
	if (header.magic != kMagic)
		return corrupt("is no image of bpfckpt");
	// Header and trailing digest are the same in every version: damage is told from age.
	if (digest_of(std::as_bytes(std::span(body))).view() != bytes.substr(body.size()))
		return corrupt("is truncated or altered: its digest does not match");
	TRY(check_header(body, Kind::kManifest));
	Manifest manifest;
	google::protobuf::LogSilencer quiet;
	TRY(parse_whole(manifest, body.substr(sizeof(Header))));
	TRY(check_manifest(manifest));
	return manifest;
}

Result<uint32_t> parse_records(Kind kind, std::string_view bytes, Document &document)
{
	TRY(check_header(bytes, kind));
	bytes.remove_prefix(sizeof(Header));
	switch (kind) {
	case Kind::kTask:
		return parse_all(bytes, *document.mutable_processes(), document.GetArena());
	case Kind::kFile:
		return parse_all(bytes, *document.mutable_files(), document.GetArena());
	case Kind::kRing:
		return parse_all(bytes, *document.mutable_rings(), document.GetArena());
	case Kind::kMemory:
		return parse_all(bytes, *document.mutable_memory(), document.GetArena());
	case Kind::kSharedMemory:
		return parse_all(bytes, *document.mutable_shared_memory(), document.GetArena());
	case Kind::kManifest:
		break;
	}
	return make_error(Code::kInternal, "no record file");
}

} // namespace bpfckpt::images
