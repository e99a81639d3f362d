#include "case.hpp"

#include <algorithm>

#include "fault.hpp"
#include "memory.hpp"
#include "npy.hpp"
#include "zip.hpp"

namespace {

constexpr std::uint64_t max_boxes = 65535;           // what 16-bit labels can tell apart
constexpr std::uint64_t max_image_bytes = 4ULL << 30;
constexpr std::uint64_t max_side = 1 << 20;

/// Reads a member's header, and says of which member a fault is.
ArrayHeader header_of(MemberReader& member, const std::string& key) {
  try {
    return read_header(member);
  } catch (const Fault& fault) {
    throw Fault(key + ": " + fault.what());
  }
}

/// Sets the case's boxes, and whether it is a volume: their table's width says so, as everywhere in the challenge.
void read_boxes(const Archive& archive, Case& into) {
  MemberReader member = archive.open("boxes.npy");
  const ArrayHeader header = header_of(member, "boxes");
  const auto& shape = header.shape;
  if (shape.size() != 2 || (shape[1] != 4 && shape[1] != 6) || shape[0] == 0 || shape[0] > max_boxes ||
      header.kind == 'b')
    throw Fault("boxes has shape " + shape_text(shape) + ", not (N, 4) or (N, 6) with N from 1 to 65535");
  into.volume = shape[1] == 6;
  const std::vector<double> numbers = read_numbers(member, header);
  for (std::size_t i = 0; i < numbers.size(); i += shape[1]) {
    const double* v = &numbers[i];
    into.boxes.push_back(into.volume ? Box{v[0], v[1], v[2], v[3], v[4], v[5]} : Box{v[0], v[1], 0, v[2], v[3], 0});
  }
}

void check_box(const Box& box, const Case& image, std::size_t number) {
  const auto within = [](double low, double high, std::size_t size) {
    return low >= 0 && low <= high && high <= static_cast<double>(size);  // false for NaN
  };
  if (!within(box.x_min, box.x_max, image.width) || !within(box.y_min, box.y_max, image.height) ||
      (image.volume && !within(box.z_min, box.z_max, image.depth)))
    throw Fault("box " + std::to_string(number) + " lies outside the image, or its minimum above its maximum");
}

}  // namespace

std::vector<std::uint64_t> Case::label_shape() const {
  return volume ? std::vector<std::uint64_t>{depth, height, width} : std::vector<std::uint64_t>{height, width};
}

Case read_case(const std::filesystem::path& path, std::uint64_t memory_bytes) {
  const Archive archive(path);
  Case result;
  read_boxes(archive, result);

  MemberReader member = archive.open("imgs.npy");
  const ArrayHeader header = header_of(member, "imgs");
  const auto& shape = header.shape;
  if (header.kind != 'u' || header.item_bytes != 1) throw Fault("imgs is not uint8");
  if (shape.size() != 3 || (!result.volume && shape[2] != 3) ||
      std::any_of(shape.begin(), shape.end(), [](std::uint64_t n) { return n == 0 || n > max_side; }))
    throw Fault("imgs has shape " + shape_text(shape) + ", not " + (result.volume ? "(D, H, W)" : "(H, W, 3)"));
  result.depth = result.volume ? shape[0] : 1;
  result.height = result.volume ? shape[1] : shape[0];
  result.width = result.volume ? shape[2] : shape[1];
  result.channels = result.volume ? 1 : 3;

  result.slices_read = 1;
  for (std::size_t i = 0; i < result.boxes.size(); ++i) {
    check_box(result.boxes[i], result, i + 1);
    if (result.volume) {
      const std::size_t last = std::min(static_cast<std::size_t>(result.boxes[i].z_max), result.depth - 1);
      result.slices_read = std::max(result.slices_read, last + 1);
    }
  }
  const std::size_t bytes = result.image_bytes();
  if (bytes > max_image_bytes) throw Fault("imgs is larger than 4 GiB");
  require_memory(memory_bytes, result.array_bytes());
  result.pixels.reset(new std::uint8_t[bytes]);
  member.read(result.pixels.get(), bytes);
  return result;
}
