#include "labels.hpp"

#include <algorithm>

Labels::Labels(const Case& of) : shape_(of.label_shape()), height_(of.height), width_(of.width) {
  const std::size_t pixels = of.depth * of.height * of.width;
  of.boxes.size() <= 255 ? narrow_.resize(pixels) : wide_.resize(pixels);
}

void Labels::paint(std::size_t z, const Mask& mask, std::size_t number) {
  wide_.empty() ? paint_into(narrow_, z, mask, number) : paint_into(wide_, z, mask, number);
}

template <typename Number>
void Labels::paint_into(std::vector<Number>& map, std::size_t z, const Mask& mask, std::size_t number) const {
  const std::uint8_t* set = mask.inside.data();
  for (std::size_t y = mask.top; y < mask.bottom; ++y) {
    Number* row = &map[(z * height_ + y) * width_];
    for (std::size_t x = mask.left; x < mask.right; ++x)
      row[x] = std::max<Number>(row[x], static_cast<Number>(*set++ ? number : 0));
  }
}

void Labels::write(const std::filesystem::path& path, const Pipeline& pipeline) const {
  const int bits = pipeline.label_bits.value_or(wide_.empty() ? 8 : 16);
  const auto write8 = [&](const std::vector<std::uint8_t>& map) {
    write_npz(path, "segs", "|u1", shape_, map.data(), map.size());
  };
  const auto write16 = [&](const std::vector<std::uint16_t>& map) {
    write_npz(path, "segs", "<u2", shape_, map.data(), map.size() * sizeof map[0]);
  };
  if (bits == 8) {
    wide_.empty() ? write8(narrow_) : write8({wide_.begin(), wide_.end()});  // 256 becomes 0
  } else {
    wide_.empty() ? write16({narrow_.begin(), narrow_.end()}) : write16(wide_);
  }
}
