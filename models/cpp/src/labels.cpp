#include "labels.hpp"

#include <algorithm>
#include <new>

#include "fault.hpp"

namespace {

constexpr std::size_t most_in_8_bits = 255;

}  // namespace

Labels::Labels(const Case& of, const Pipeline& pipeline)
    : shape_(of.label_shape()),
      height_(of.height),
      width_(of.width),
      count_(of.depth * of.height * of.width),
      bits_written_(pipeline.label_bits.value_or(of.boxes.size() <= most_in_8_bits ? 8 : 16)),
      bits_held_(of.boxes.size() <= most_in_8_bits ? bits_written_ : 16),
      map_(nullptr, std::free) {
  // Said before the work, not after it.
  if (count_ * static_cast<std::size_t>(bits_written_ / 8) > max_written_bytes)
    throw Fault("its prediction would be larger than 4 GiB. Split the volume");
  map_.reset(std::calloc(count_, static_cast<std::size_t>(bits_held_ / 8)));
  if (!map_) throw std::bad_alloc();
}

void Labels::paint(std::size_t z, const Mask& mask, std::size_t number) {
  bits_held_ == 8 ? paint_into(static_cast<std::uint8_t*>(map_.get()), z, mask, number)
                  : paint_into(static_cast<std::uint16_t*>(map_.get()), z, mask, number);
}

template <typename Number>
void Labels::paint_into(Number* map, std::size_t z, const Mask& mask, std::size_t number) const {
  const std::uint8_t* set = mask.inside.data();
  for (std::size_t y = mask.top; y < mask.bottom; ++y) {
    Number* row = map + (z * height_ + y) * width_;
    for (std::size_t x = mask.left; x < mask.right; ++x)
      row[x] = std::max<Number>(row[x], static_cast<Number>(*set++ ? number : 0));
  }
}

void Labels::write(const std::filesystem::path& path) {
  if (bits_written_ < bits_held_) {
    // In place, since there may be no memory for both; 256 becomes 0.
    const auto* wide = static_cast<const std::uint16_t*>(map_.get());
    auto* narrow = static_cast<std::uint8_t*>(map_.get());
    for (std::size_t i = 0; i < count_; ++i) narrow[i] = static_cast<std::uint8_t>(wide[i]);
  }
  write_npz(path, "segs", bits_written_ == 8 ? "|u1" : "<u2", shape_, map_.get(),
            count_ * static_cast<std::size_t>(bits_written_ / 8));
}
