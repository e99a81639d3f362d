#include "zip.hpp"

#include <fcntl.h>
#include <isa-l.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "fault.hpp"

namespace {

constexpr std::uint32_t local_signature = 0x04034b50, central_signature = 0x02014b50, end_signature = 0x06054b50;
constexpr std::uint32_t end64_signature = 0x06064b50, locator64_signature = 0x07064b50;
constexpr std::size_t local_size = 30, central_size = 46, end_size = 22, end64_size = 56, locator64_size = 20;
constexpr std::uint16_t stored = 0, deflated = 8, encrypted_flag = 1;
constexpr std::uint32_t in_zip64 = 0xffffffff;
/// An honest file has three members; this is room for thousands.
constexpr std::uint64_t max_directory_bytes = 256 << 10;
/// More than the highest ratio that deflate reaches (1032).
constexpr std::uint64_t max_ratio = 1040;
constexpr std::size_t packed_chunk_bytes = 64 << 10;

/// Little-endian fields, read one after another; whoever reads has made sure that they are there.
class Fields {
 public:
  explicit Fields(const unsigned char* at) : at_(at) {}
  std::uint64_t take(int bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value |= static_cast<std::uint64_t>(*at_++) << (8 * i);
    return value;
  }
  std::uint16_t u16() { return static_cast<std::uint16_t>(take(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(take(4)); }
  std::uint64_t u64() { return take(8); }
  void skip(std::size_t bytes) { at_ += bytes; }

 private:
  const unsigned char* at_;
};

/// Sizes and offset that did not fit into 32 bits stand in an extra field, in this order, only those that did not.
void read_zip64(Member& member, const unsigned char* extra, std::size_t length) {
  while (length >= 4) {
    Fields head(extra);
    const std::uint16_t kind = head.u16();
    const std::size_t size = head.u16();
    if (size > length - 4) throw Fault("a field of its zip directory is cut off");
    if (kind == 1) {
      std::size_t left = size;
      for (std::uint64_t* value : {&member.bytes, &member.packed_bytes, &member.header_offset}) {
        if (*value != in_zip64) continue;
        if (left < 8) throw Fault("a field of its zip directory is cut off");
        *value = head.u64();
        left -= 8;
      }
      return;
    }
    extra += 4 + size;
    length -= 4 + size;
  }
}

}  // namespace

File::File(const std::filesystem::path& path) : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (descriptor_ < 0) throw Fault(std::string("it cannot be opened (") + std::strerror(errno) + ")");
  struct stat facts {};
  if (::fstat(descriptor_, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    ::close(descriptor_);
    throw Fault("it is not a regular file");
  }
  size_ = static_cast<std::uint64_t>(facts.st_size);
}

File::~File() { ::close(descriptor_); }

void File::read(std::uint64_t offset, void* into, std::size_t count) const {
  if (count > size_ || offset > size_ - count) throw Fault("it is cut off, or its zip directory points outside it");
  auto* at = static_cast<unsigned char*>(into);
  while (count > 0) {
    const ssize_t got = ::pread(descriptor_, at, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::system_error(errno, std::generic_category(), "reading a case");
    if (got == 0) throw Fault("it became shorter while it was read");
    at += got;
    offset += static_cast<std::uint64_t>(got);
    count -= static_cast<std::size_t>(got);
  }
}

Archive::Archive(const std::filesystem::path& path) : file_(path) { read_directory(); }

void Archive::read_directory() {
  // The end record stands last but for a comment of at most 64 KiB.
  const std::size_t tail_size = std::min<std::uint64_t>(file_.size(), end_size + 0xffff);
  std::vector<unsigned char> tail(tail_size);
  file_.read(file_.size() - tail_size, tail.data(), tail_size);
  std::size_t at = tail_size;
  bool found = false;
  for (std::size_t i = tail_size >= end_size ? tail_size - end_size + 1 : 0; i-- > 0 && !found;) {
    if (Fields(&tail[i]).u32() == end_signature) {
      Fields comment(&tail[i + end_size - 2]);
      found = i + end_size + comment.u16() == tail_size;
      at = i;
    }
  }
  if (!found) throw Fault("it is no zip archive, or is cut off");

  Fields end(&tail[at + 10]);
  std::uint64_t count = end.u16(), size = end.u32();
  directory_offset_ = end.u32();
  std::uint64_t end_offset = file_.size() - tail_size + at;
  if (end_offset >= locator64_size) {
    unsigned char locator[locator64_size];
    file_.read(end_offset - locator64_size, locator, locator64_size);
    if (Fields(locator).u32() == locator64_signature) {
      end_offset = Fields(locator + 8).u64();
      unsigned char record[end64_size];
      file_.read(end_offset, record, end64_size);
      if (Fields(record).u32() != end64_signature) throw Fault("its zip64 end record is not where it should be");
      Fields fields(record + 32);
      count = fields.u64();
      size = fields.u64();
      directory_offset_ = fields.u64();
    }
  }
  if (size > max_directory_bytes) throw Fault("its zip directory is too large");
  if (directory_offset_ > end_offset || size != end_offset - directory_offset_)
    throw Fault("its zip directory is not where its end record says");

  std::vector<unsigned char> directory(size);
  file_.read(directory_offset_, directory.data(), size);
  for (std::size_t from = 0; from < size;) {
    if (size - from < central_size || Fields(&directory[from]).u32() != central_signature)
      throw Fault("its zip directory is broken");
    Fields fields(&directory[from + 8]);
    Member member;
    member.flags = fields.u16();
    member.method = fields.u16();
    fields.skip(4);
    member.crc = fields.u32();
    member.packed_bytes = fields.u32();
    member.bytes = fields.u32();
    const std::size_t name = fields.u16(), extra = fields.u16(), comment = fields.u16();
    fields.skip(8);
    member.header_offset = fields.u32();
    if (name + extra + comment > size - from - central_size) throw Fault("its zip directory is broken");
    const unsigned char* text = directory.data() + from + central_size;
    member.name.assign(text, text + name);
    read_zip64(member, text + name, extra);
    members_.push_back(std::move(member));
    from += central_size + name + extra + comment;
  }
  if (members_.size() != count) throw Fault("its zip directory does not hold as many members as it says");
}

MemberReader Archive::open(const std::string& name) const {
  const auto same = [&](const Member& member) { return member.name == name; };
  const auto member = std::find_if(members_.begin(), members_.end(), same);
  if (member == members_.end()) throw Fault("it holds no " + name);
  if (std::find_if(member + 1, members_.end(), same) != members_.end()) throw Fault("it holds " + name + " twice");
  if (member->flags & encrypted_flag) throw Fault(name + " is encrypted");
  if (member->method != stored && member->method != deflated)
    throw Fault(name + " is packed by method " + std::to_string(member->method) +
                "; save it by numpy.savez_compressed");

  if (member->header_offset > directory_offset_ || directory_offset_ - member->header_offset < local_size)
    throw Fault(name + " does not lie before the zip directory");
  unsigned char header[local_size];
  file_.read(member->header_offset, header, local_size);
  if (Fields(header).u32() != local_signature) throw Fault(name + " is not where the zip directory says");
  Fields lengths(header + 26);
  const std::uint64_t names = lengths.u16(), extras = lengths.u16();
  const std::uint64_t room = directory_offset_ - member->header_offset - local_size;
  if (names + extras > room || member->packed_bytes > room - names - extras)
    throw Fault(name + " does not lie before the zip directory");
  const bool possible = member->method == stored ? member->bytes == member->packed_bytes
                                                 : member->bytes / max_ratio <= member->packed_bytes;
  if (!possible) throw Fault(name + " claims more bytes than it can hold");
  return MemberReader(file_, *member, member->header_offset + local_size + names + extras);
}

MemberReader::MemberReader(const File& file, const Member& member, std::uint64_t data_offset)
    : file_(file), member_(member), next_offset_(data_offset), packed_left_(member.packed_bytes) {
  if (member.method == deflated) {
    packed_.resize(packed_chunk_bytes);
    state_ = std::make_unique<inflate_state>();
    isal_inflate_init(state_.get());
  }
}

MemberReader::~MemberReader() = default;
MemberReader::MemberReader(MemberReader&&) noexcept = default;

void MemberReader::read(void* into, std::size_t count) {
  if (count > left()) throw Fault(member_.name + " is shorter than its header says");
  auto* at = static_cast<unsigned char*>(into);
  if (state_) {
    inflate(at, count);
  } else {
    file_.read(next_offset_, at, count);
    next_offset_ += count;
  }
  crc_ = crc32_gzip_refl(crc_, at, count);
  read_ += count;
  if (left() == 0 && crc_ != member_.crc) throw Fault(member_.name + " is damaged: its checksum is wrong");
}

void MemberReader::inflate(unsigned char* into, std::size_t count) {
  while (count > 0) {
    if (state_->avail_in == 0) refill();
    // ISA-L counts in 32 bits.
    const auto wanted = static_cast<std::uint32_t>(std::min<std::size_t>(count, 1U << 30));
    const std::uint32_t had = state_->avail_in;
    state_->next_out = into;
    state_->avail_out = wanted;
    if (isal_inflate(state_.get()) != ISAL_DECOMP_OK) throw Fault(member_.name + " is damaged: it cannot be inflated");
    const std::uint32_t got = wanted - state_->avail_out;
    const bool stuck = got == 0 && had == state_->avail_in;
    if (got == 0 && (state_->block_state == ISAL_BLOCK_FINISH || (stuck && packed_left_ == 0) || (stuck && had > 0)))
      throw Fault(member_.name + " is damaged: it ends before its last byte");
    into += got;
    count -= got;
  }
}

void MemberReader::refill() {
  const auto size = static_cast<std::uint32_t>(std::min<std::uint64_t>(packed_left_, packed_.size()));
  file_.read(next_offset_, packed_.data(), size);
  next_offset_ += size;
  packed_left_ -= size;
  state_->next_in = packed_.data();
  state_->avail_in = size;
}
