#include "packed.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fault.hpp"

namespace {

constexpr char magic[8] = {'w', 'e', 'i', 'g', 'h', 't', 's', '\0'};
constexpr std::uint32_t version = 2, raw_kind = 0, int24_kind = 1;
constexpr std::uint64_t header_bytes = 24, segment_bytes = 24, alignment_bytes = 64, float_bytes = 4, int24_bytes = 3;
/// Weights that share a factor.
constexpr std::uint64_t run = 1024;
/// What is widened at once: whole runs that stay in the processor's cache until they are written.
constexpr std::uint64_t piece_bytes = 1 << 18;
static_assert(piece_bytes % (run * float_bytes) == 0);

std::uint64_t runs_of(std::uint64_t weights) { return (weights + run - 1) / run; }

/// Files are little-endian, as are the processors that this runs on.
template <typename Number>
Number number_at(const std::uint8_t* bytes) {
  Number number;
  std::memcpy(&number, bytes, sizeof number);
  return number;
}

/// An open file, closed in the end.
struct Descriptor {
  explicit Descriptor(int of) : number(of) {}
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number;
};

/// A file's bytes, read only.
class Mapping {
 public:
  Mapping(int descriptor, std::uint64_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    data_ = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    if (data_ == MAP_FAILED) throw Fault(std::string("it cannot be mapped (") + std::strerror(errno) + ")");
  }
  ~Mapping() {
    if (data_ != MAP_FAILED) ::munmap(data_, bytes_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  const std::uint8_t* data() const { return static_cast<const std::uint8_t*>(data_); }

 private:
  void* data_ = MAP_FAILED;
  std::uint64_t bytes_;
};

/// A run of weights, or part of one, of their upper 16 bits, the 8 below them, and the factor of all; plain enough for
/// the compiler to widen many at once.
void widen(const std::int16_t* __restrict upper, const std::uint8_t* __restrict lower, float factor,
           float* __restrict to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<float>(upper[i] * 256 + lower[i]) * factor;
}

/// Writing takes no page faults, and pages that are written whole are not cleared before: two thirds of the time that
/// expanding into mapped memory takes.
void write_all(int descriptor, const void* data, std::uint64_t bytes, std::uint64_t offset) {
  const auto* from = static_cast<const char*>(data);
  while (bytes > 0) {
    const ::ssize_t written = ::pwrite(descriptor, from, bytes, static_cast<::off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) throw Fault(std::string("there is no memory to expand it (") + std::strerror(errno) + ")");
    from += written;
    offset += static_cast<std::uint64_t>(written);
    bytes -= static_cast<std::uint64_t>(written);
  }
}

void expand(const std::uint8_t* packed, const PackedSegment& segment, int descriptor) {
  const std::uint8_t* data = packed + segment.from;
  if (!segment.narrow) {
    write_all(descriptor, data, segment.size, segment.offset);
    return;
  }
  // Data begin at multiples of 64 bytes, counted from a page's begin.
  const std::uint64_t count = segment.size / float_bytes;
  const auto* factors = reinterpret_cast<const float*>(data);
  const auto* upper = reinterpret_cast<const std::int16_t*>(factors + runs_of(count));
  const auto* lower = reinterpret_cast<const std::uint8_t*>(upper + count);
  std::vector<float> floats(std::min(piece_bytes, segment.size) / float_bytes);
  for (std::uint64_t begin = 0; begin < count; begin += floats.size()) {
    const std::uint64_t end = std::min<std::uint64_t>(begin + floats.size(), count);
    for (std::uint64_t at = begin; at < end; at += run)
      widen(upper + at, lower + at, factors[at / run], floats.data() + (at - begin), std::min(run, end - at));
    write_all(descriptor, floats.data(), (end - begin) * float_bytes, segment.offset + begin * float_bytes);
  }
}

/// On one thread: the kernel lets one at a time write to a file, and loading goes on beside it.
int expanded(const std::filesystem::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat facts {};
  if (file.number < 0 || ::fstat(file.number, &facts) != 0)
    throw Fault(std::string("it cannot be opened (") + std::strerror(errno) + ")");
  const auto bytes = static_cast<std::uint64_t>(facts.st_size);
  const Mapping packed(file.number, bytes);
  const std::vector<PackedSegment> segments = packed_segments(packed.data(), bytes);

  Descriptor made(::memfd_create(path.filename().c_str(), MFD_CLOEXEC));
  if (made.number < 0) throw Fault(std::string("there is no memory to expand it (") + std::strerror(errno) + ")");
  for (const PackedSegment& segment : segments) expand(packed.data(), segment, made.number);
  const int descriptor = made.number;
  made.number = -1;
  return descriptor;
}

}  // namespace

std::vector<PackedSegment> packed_segments(const std::uint8_t* packed, std::uint64_t bytes) {
  if (bytes < header_bytes || std::memcmp(packed, magic, sizeof magic) != 0)
    throw Fault("it does not begin as packed weights do");
  const auto format = number_at<std::uint32_t>(packed + 8);
  if (format != version)
    throw Fault("its format is " + std::to_string(format) + ", and this program knows " + std::to_string(version));
  const std::uint64_t count = number_at<std::uint32_t>(packed + 12), total = number_at<std::uint64_t>(packed + 16);
  std::uint64_t from = header_bytes + count * segment_bytes, end = 0;
  if (from > bytes) throw Fault("its segments are cut off");
  std::vector<PackedSegment> segments;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint8_t* facts = packed + header_bytes + i * segment_bytes;
    const auto offset = number_at<std::uint64_t>(facts), size = number_at<std::uint64_t>(facts + 8);
    const auto kind = number_at<std::uint32_t>(facts + 16), zero = number_at<std::uint32_t>(facts + 20);
    const bool narrow = kind == int24_kind, whole = offset % float_bytes == 0 && size % float_bytes == 0;
    const auto refuse = [&](const char* why) { throw Fault("segment " + std::to_string(i) + why); };
    if ((!narrow && kind != raw_kind) || zero != 0 || (narrow && !whole)) refuse(" is of no known kind");
    if (offset != end || size > total - end) refuse(" does not follow the one before it");
    from += (alignment_bytes - from % alignment_bytes) % alignment_bytes;
    const std::uint64_t weights = size / float_bytes;
    const std::uint64_t packed_size = narrow ? weights * int24_bytes + runs_of(weights) * float_bytes : size;
    if (from > bytes || packed_size > bytes - from) refuse(" is cut off");
    segments.push_back({offset, size, from, narrow});
    from += packed_size;
    end += size;
  }
  if (end != total || from != bytes) throw Fault("its segments are not all of it");
  return segments;
}

ExpandedWeights::ExpandedWeights(const std::filesystem::path& packed) try : descriptor_(expanded(packed)) {
} catch (const Fault& fault) {
  throw Fault(packed.string() + ": " + fault.what() + ". Make it again: python -m models export");
}

ExpandedWeights::~ExpandedWeights() { ::close(descriptor_); }
