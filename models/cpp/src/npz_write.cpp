// Writing npz files: one deflated member, its zip framing by hand.
#include <fcntl.h>
#include <isa-l.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "case.hpp"
#include "fault.hpp"
#include "npy.hpp"

namespace {

/// A raw deflate stream, handed on piece by piece.
class Deflater {
 public:
  Deflater() : level_buffer_(ISAL_DEF_LVL1_DEFAULT), packed_(piece_bytes) {
    isal_deflate_init(&stream_);
    stream_.level = 1;
    stream_.level_buf = level_buffer_.data();
    stream_.level_buf_size = static_cast<std::uint32_t>(level_buffer_.size());
    stream_.gzip_flag = IGZIP_DEFLATE;
  }

  /// Calls `take(piece, bytes)` for each piece.
  template <typename Take>
  void add(const void* data, std::size_t bytes, bool last, const Take& take) {
    crc_ = crc32_gzip_refl(crc_, static_cast<const unsigned char*>(data), bytes);
    stream_.next_in = static_cast<std::uint8_t*>(const_cast<void*>(data));
    stream_.avail_in = static_cast<std::uint32_t>(bytes);
    stream_.end_of_stream = last ? 1 : 0;
    do {
      stream_.next_out = packed_.data();
      stream_.avail_out = static_cast<std::uint32_t>(packed_.size());
      if (isal_deflate(&stream_) != COMP_OK) throw std::logic_error("ISA-L refuses to deflate");
      const std::size_t piece = packed_.size() - stream_.avail_out;
      take(packed_.data(), piece);
      size_ += piece;
    } while (stream_.avail_in > 0 || (last && stream_.internal_state.state != ZSTATE_END));
  }

  std::size_t size() const { return size_; }
  std::uint32_t crc() const { return crc_; }

 private:
  static constexpr std::size_t piece_bytes = 256 << 10;
  std::vector<std::uint8_t> level_buffer_, packed_;
  std::size_t size_ = 0;
  std::uint32_t crc_ = 0;
  isal_zstream stream_{};
};

void append(std::string& to, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to += static_cast<char>(value >> (8 * i) & 0xff);
}

/// What local header and directory entry have in common.
std::string member_facts(const std::string& name, const Deflater& content, std::size_t bytes) {
  constexpr std::uint16_t version = 20, no_flags = 0, deflated = 8, midnight = 0, first_of_1980 = 33;
  std::string facts;
  for (const std::uint16_t field : {version, no_flags, deflated, midnight, first_of_1980}) append(facts, field, 2);
  append(facts, content.crc(), 4);
  append(facts, content.size(), 4);
  append(facts, bytes, 4);
  append(facts, name.size(), 2);
  append(facts, 0, 2);  // no extra field
  return facts;
}

std::string local_header(const std::string& name, const Deflater& content, std::size_t bytes) {
  return "PK\x03\x04" + member_facts(name, content, bytes) + name;
}

/// The archive's directory and its end record.
std::string directory(const std::string& name, const Deflater& content, std::size_t bytes) {
  std::string end = "PK\x01\x02";
  append(end, 20, 2);  // made by version 2.0 of the format, on a file system of no kind
  end += member_facts(name, content, bytes);
  end.append(14, '\0');  // no comment, first disk, no attributes, offset 0
  end += name;
  const std::size_t directory_bytes = end.size();
  end += "PK\x05\x06";
  append(end, 0, 4);  // this disk, the directory's disk
  append(end, 1, 2);
  append(end, 1, 2);
  append(end, directory_bytes, 4);
  append(end, local_header(name, content, bytes).size() + content.size(), 4);
  append(end, 0, 2);
  return end;
}

[[noreturn]] void fail(const std::filesystem::path& path) {
  throw std::system_error(errno, std::generic_category(), path.string());
}

class OutputFile {
 public:
  explicit OutputFile(const std::filesystem::path& path)
      : path_(path), descriptor_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) {
    if (descriptor_ < 0) fail(path_);
  }
  ~OutputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, std::size_t bytes) {
    const auto* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t done = ::write(descriptor_, at, bytes);
      if (done < 0 && errno == EINTR) continue;
      if (done < 0) fail(path_);
      at += done;
      bytes -= static_cast<std::size_t>(done);
    }
  }
  void rewind() {
    if (::lseek(descriptor_, 0, SEEK_SET) != 0) fail(path_);
  }
  void close() {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    if (::close(descriptor) != 0) fail(path_);
  }

 private:
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace

void write_npz(const std::filesystem::path& path, const std::string& key, const std::string& descr,
               const std::vector<std::uint64_t>& shape, const void* data, std::size_t bytes) {
  const std::string header = npy_header(descr, shape), name = key + ".npy";
  if (bytes > max_written_bytes) throw Fault("the prediction is larger than 4 GiB");
  // Whoever stops this program midway finds no half file under the prediction's name.
  const std::filesystem::path partial = path.parent_path() / ("." + path.filename().string() + ".part");
  try {
    OutputFile file(partial);
    Deflater content;
    // Sizes and checksum are known at the end; until then zeros keep their place at the front.
    std::string local(local_header(name, content, 0).size(), '\0');
    file.write(local.data(), local.size());
    const auto write = [&](const void* piece, std::size_t size) { file.write(piece, size); };
    content.add(header.data(), header.size(), false, write);
    content.add(data, bytes, true, write);
    const std::string end = directory(name, content, header.size() + bytes);
    file.write(end.data(), end.size());
    local = local_header(name, content, header.size() + bytes);
    file.rewind();
    file.write(local.data(), local.size());
    file.close();
    std::filesystem::rename(partial, path);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(partial, ignored);
    throw;
  }
}
