// Reading zip archives that nobody vouches for, as far as numpy's files use the format.
//
// Source: PKWARE's application note (end record, zip64 records, central directory, local header).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

struct inflate_state;  // of ISA-L

/// A file opened for reading; its size is taken once, at opening.
class File {
 public:
  /// Throws Fault where there is no such regular file, or it cannot be read.
  explicit File(const std::filesystem::path& path);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  std::uint64_t size() const { return size_; }
  /// Reads exactly `count` bytes at `offset`.  Throws Fault where the file ends before.
  void read(std::uint64_t offset, void* into, std::size_t count) const;

 private:
  int descriptor_;
  std::uint64_t size_ = 0;
};

/// One member, as the central directory has it.
struct Member {
  std::string name;
  std::uint16_t flags = 0;
  std::uint16_t method = 0;
  std::uint32_t crc = 0;
  std::uint64_t packed_bytes = 0;
  std::uint64_t bytes = 0;
  std::uint64_t header_offset = 0;
};

/// A member's content, read from front to back in little memory.
class MemberReader {
 public:
  MemberReader(const File& file, const Member& member, std::uint64_t data_offset);
  ~MemberReader();
  MemberReader(MemberReader&&) noexcept;

  std::uint64_t left() const { return member_.bytes - read_; }
  /// Reads exactly `count` bytes.  Throws Fault for a broken stream, one that ends before or, where the last
  /// byte is reached, a wrong checksum.
  void read(void* into, std::size_t count);

 private:
  void inflate(unsigned char* into, std::size_t count);
  void refill();

  const File& file_;
  Member member_;
  std::uint64_t next_offset_;
  std::uint64_t packed_left_;
  std::uint64_t read_ = 0;
  std::uint32_t crc_ = 0;
  std::vector<unsigned char> packed_;
  std::unique_ptr<inflate_state> state_;
};

/// A zip archive.
class Archive {
 public:
  /// Reads the central directory.  Throws Fault where it is not a whole zip archive.
  explicit Archive(const std::filesystem::path& path);

  /// Begins to read the member of this name.  Throws Fault where there is none, or it is encrypted, packed by
  /// another method than deflate, or claims more than its bytes in the file can hold.
  MemberReader open(const std::string& name) const;

 private:
  void read_directory();

  File file_;
  std::uint64_t directory_offset_ = 0;
  std::vector<Member> members_;
};
