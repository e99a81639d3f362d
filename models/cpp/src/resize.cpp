// Area and linear interpolation follow OpenCV's arithmetic: the order of its float sums, its 11-bit weights for
// 8-bit images, and which of its variants takes which sizes.  Compiled without contraction to fused multiply-adds.
#include "resize.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace {

template <typename Number>
Number rounded(float value) {  // to even, as OpenCV
  return static_cast<Number>(std::clamp<long>(std::lrintf(value), 0, std::numeric_limits<Number>::max()));
}

// --------------------------------------------------------------------------- area, whole factors

template <typename Number>
std::vector<Number> mean_of_blocks(const View<Number>& image, std::size_t height, std::size_t width, std::size_t down,
                                   std::size_t across) {
  const std::size_t channels = image.channels, row = image.width * channels;
  const float share = 1.0f / static_cast<float>(down * across);
  const bool halves = down == 2 && across == 2;
  std::vector<Number> result(height * width * channels);
  Number* to = result.data();
  for (std::size_t y = 0; y < height; ++y)
    for (std::size_t x = 0; x < width; ++x)
      for (std::size_t c = 0; c < channels; ++c) {
        const Number* from = image.data + y * down * row + x * across * channels + c;
        int sum = 0;
        for (std::size_t j = 0; j < down; ++j)
          for (std::size_t i = 0; i < across; ++i) sum += from[j * row + i * channels];
        // OpenCV rounds halves up for 2 x 2 and to even for other blocks.
        *to++ = halves ? static_cast<Number>((sum + 2) >> 2) : rounded<Number>(static_cast<float>(sum) * share);
      }
  return result;
}

// --------------------------------------------------------------------------- area, any factor from 1 on

/// The share that a source pixel has in a target pixel, along one axis.
struct Share {
  std::size_t target, source;
  float weight;
};

std::vector<Share> shares(std::size_t source_length, std::size_t target_length, double scale) {
  constexpr double negligible = 1e-3;
  std::vector<Share> table;
  for (std::size_t target = 0; target < target_length; ++target) {
    const double begin = static_cast<double>(target) * scale, end = begin + scale;
    const double cell = std::min(scale, static_cast<double>(source_length) - begin);
    const double last_whole = std::min(std::floor(end), static_cast<double>(source_length - 1));
    const double first_whole = std::min(std::ceil(begin), last_whole);
    const auto first = static_cast<std::size_t>(first_whole), last = static_cast<std::size_t>(last_whole);
    if (first_whole - begin > negligible)
      table.push_back({target, first - 1, static_cast<float>((first_whole - begin) / cell)});
    for (std::size_t source = first; source < last; ++source)
      table.push_back({target, source, static_cast<float>(1.0 / cell)});
    if (end - last_whole > negligible)
      table.push_back({target, last, static_cast<float>(std::min(std::min(end - last_whole, 1.0), cell) / cell)});
  }
  return table;
}

template <typename Number>
std::vector<Number> area(const View<Number>& image, std::size_t height, std::size_t width, double scale_y,
                         double scale_x) {
  const std::size_t channels = image.channels, row = width * channels;
  const std::vector<Share> across = shares(image.width, width, scale_x), down = shares(image.height, height, scale_y);
  std::vector<Number> result(height * row);
  std::vector<float> line(row), sum(row);
  for (std::size_t k = 0; k < down.size(); ++k) {
    std::fill(line.begin(), line.end(), 0.0f);
    const Number* from = image.data + down[k].source * image.width * channels;
    for (const Share& share : across)
      for (std::size_t c = 0; c < channels; ++c)
        line[share.target * channels + c] +=
            static_cast<float>(from[share.source * channels + c]) * share.weight;
    const bool first = k == 0 || down[k].target != down[k - 1].target;
    const float weight = down[k].weight;
    for (std::size_t i = 0; i < row; ++i) sum[i] = first ? weight * line[i] : sum[i] + weight * line[i];
    if (k + 1 == down.size() || down[k + 1].target != down[k].target)
      std::transform(sum.begin(), sum.end(), &result[down[k].target * row], rounded<Number>);
  }
  return result;
}

// --------------------------------------------------------------------------- linear

/// Where a target pixel reads along one axis: two neighbours and the second one's weight.
struct Tap {
  std::size_t first, second;
  float second_weight;
};

/// `by_area`: as OpenCV enlarges "by area".  `hold_edges`: pixels beyond the edge get no weight, which OpenCV sees to
/// along rows alone (along columns both neighbours are then the same row).
std::vector<Tap> taps(std::size_t source_length, std::size_t target_length, bool by_area, bool hold_edges) {
  const double inverse = static_cast<double>(target_length) / static_cast<double>(source_length);
  const double scale = 1.0 / inverse;
  const auto last = static_cast<long>(source_length) - 1;
  std::vector<Tap> table(target_length);
  for (std::size_t i = 0; i < target_length; ++i) {
    const auto target = static_cast<double>(i);
    long at = 0;
    float part = 0;
    if (by_area) {
      at = static_cast<long>(std::floor(target * scale));
      part = static_cast<float>((target + 1) - static_cast<double>(at + 1) * inverse);
      part = part <= 0 ? 0.0f : part - std::floor(part);
    } else {
      part = static_cast<float>((target + 0.5) * scale - 0.5);
      at = static_cast<long>(std::floor(part));
      part -= static_cast<float>(at);
    }
    if (hold_edges && at < 0) at = 0, part = 0;
    if (hold_edges && at >= last) at = last, part = 0;
    const auto within = [&](long index) { return static_cast<std::size_t>(std::clamp(index, 0L, last)); };
    table[i] = {within(at), within(at + 1), part};
  }
  return table;
}

/// Interpolation of 8 bits in whole numbers: 11-bit weights, and 4 bits dropped before each vertical product.
struct Arithmetic8 {
  using Weight = int;
  static constexpr int one = 2048;
  static Weight weight(float share) { return static_cast<int>(std::lrintf(share * one)); }
  static std::uint8_t vertical(int upper, Weight upper_weight, int lower, Weight lower_weight) {
    const int sum = ((upper_weight * (upper >> 4)) >> 16) + ((lower_weight * (lower >> 4)) >> 16);
    return static_cast<std::uint8_t>((sum + 2) >> 2);
  }
};

/// Interpolation of 16 bits in floats.
struct Arithmetic16 {
  using Weight = float;
  static Weight weight(float share) { return share; }
  static std::uint16_t vertical(float upper, Weight upper_weight, float lower, Weight lower_weight) {
    return rounded<std::uint16_t>(upper * upper_weight + lower * lower_weight);
  }
};

template <typename Number>
std::vector<Number> linear(const View<Number>& image, std::size_t height, std::size_t width, bool by_area) {
  using Arithmetic = std::conditional_t<sizeof(Number) == 1, Arithmetic8, Arithmetic16>;
  using Weight = typename Arithmetic::Weight;
  const std::size_t channels = image.channels, row = width * channels;
  const std::vector<Tap> across = taps(image.width, width, by_area, true);
  const std::vector<Tap> down = taps(image.height, height, by_area, false);
  constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  // Two source rows, already as wide as the target, are held at a time.
  std::array<std::vector<Weight>, 2> lines{std::vector<Weight>(row), std::vector<Weight>(row)};
  std::array<std::size_t, 2> held{none, none};
  const auto line_of = [&](std::size_t source, std::size_t other) -> const Weight* {
    for (std::size_t slot = 0; slot < 2; ++slot)
      if (held[slot] == source) return lines[slot].data();
    const std::size_t slot = held[0] == other ? 1 : 0;
    held[slot] = source;
    const Number* from = image.data + source * image.width * channels;
    Weight* to = lines[slot].data();
    for (const Tap& tap : across) {
      const Weight left = Arithmetic::weight(1.0f - tap.second_weight), right = Arithmetic::weight(tap.second_weight);
      for (std::size_t c = 0; c < channels; ++c)
        *to++ = static_cast<Weight>(from[tap.first * channels + c]) * left +
                static_cast<Weight>(from[tap.second * channels + c]) * right;
    }
    return lines[slot].data();
  };
  std::vector<Number> result(height * row);
  Number* to = result.data();
  for (const Tap& tap : down) {
    const Weight* upper = line_of(tap.first, tap.second);
    const Weight* lower = line_of(tap.second, tap.first);
    const Weight above = Arithmetic::weight(1.0f - tap.second_weight), below = Arithmetic::weight(tap.second_weight);
    for (std::size_t i = 0; i < row; ++i) *to++ = Arithmetic::vertical(upper[i], above, lower[i], below);
  }
  return result;
}

// --------------------------------------------------------------------------- floats

std::vector<Tap> float_taps(std::size_t source_length, std::size_t target_length) {
  const auto scale = static_cast<float>(static_cast<double>(source_length) / static_cast<double>(target_length));
  std::vector<Tap> table(target_length);
  for (std::size_t i = 0; i < target_length; ++i) {
    const float at = std::max(0.0f, scale * (static_cast<float>(i) + 0.5f) - 0.5f);
    const std::size_t first = std::min(static_cast<std::size_t>(at), source_length - 1);
    table[i] = {first, std::min(first + 1, source_length - 1), std::min(1.0f, at - static_cast<float>(first))};
  }
  return table;
}

/// A row between two rows of `image`, at the columns of a table from `begin` to `end`.
void interpolate(const FloatView& image, const Tap& down, const Tap* begin, const Tap* end, float* to) {
  const float* a = image.data + down.first * image.stride;
  const float* b = image.data + down.second * image.stride;
  const float lower = down.second_weight, upper = 1.0f - lower;
  for (const Tap* tap = begin; tap != end; ++tap) {
    const float right = tap->second_weight, left = 1.0f - right;
    *to++ = upper * (left * a[tap->first] + right * a[tap->second]) +
            lower * (left * b[tap->first] + right * b[tap->second]);
  }
}

struct Range {
  std::size_t begin, end;
};

/// Target pixels that read any of the source pixels from `low` to `high`; tables ascend.
Range reached(const std::vector<Tap>& table, std::size_t low, std::size_t high) {
  const auto begin = std::find_if(table.begin(), table.end(), [&](const Tap& t) { return t.second >= low; });
  const auto end = std::find_if(begin, table.end(), [&](const Tap& t) { return t.first > high; });
  return {static_cast<std::size_t>(begin - table.begin()), static_cast<std::size_t>(end - table.begin())};
}

/// Drops rows and columns of zeros at the window's edges.
Mask tight(const Mask& loose) {
  const std::size_t height = loose.bottom - loose.top, width = loose.right - loose.left;
  std::size_t top = height, bottom = 0, left = width, right = 0;
  for (std::size_t y = 0; y < height; ++y) {
    const std::uint8_t* row = &loose.inside[y * width];
    const auto* found = static_cast<const std::uint8_t*>(std::memchr(row, 1, width));
    if (!found) continue;
    const auto* last = static_cast<const std::uint8_t*>(::memrchr(row, 1, width));
    top = std::min(top, y);
    bottom = y + 1;
    left = std::min(left, static_cast<std::size_t>(found - row));
    right = std::max(right, static_cast<std::size_t>(last - row) + 1);
  }
  if (bottom == 0) return {};
  Mask result{loose.top + top, loose.left + left, loose.top + bottom, loose.left + right, {}};
  result.inside.reserve((bottom - top) * (right - left));
  for (std::size_t y = top; y < bottom; ++y)
    result.inside.insert(result.inside.end(), &loose.inside[y * width] + left, &loose.inside[y * width] + right);
  return result;
}

template <typename Number>
std::vector<Number> resized_as_opencv(const View<Number>& image, std::size_t height, std::size_t width,
                                      Interpolation how) {
  if (height == image.height && width == image.width)
    return std::vector<Number>(image.data, image.data + height * width * image.channels);
  // The same two divisions as OpenCV, so that factors are whole here when they are there.
  const double scale_x = 1.0 / (static_cast<double>(width) / static_cast<double>(image.width));
  const double scale_y = 1.0 / (static_cast<double>(height) / static_cast<double>(image.height));
  const double across = std::rint(scale_x), down = std::rint(scale_y);
  constexpr double epsilon = std::numeric_limits<double>::epsilon();
  const bool whole = std::abs(scale_x - across) < epsilon && std::abs(scale_y - down) < epsilon;
  if (how == Interpolation::linear && whole && across == 2 && down == 2) how = Interpolation::area;
  if (how == Interpolation::linear || scale_x < 1 || scale_y < 1)
    return linear(image, height, width, how == Interpolation::area);
  if (whole)
    return mean_of_blocks(image, height, width, static_cast<std::size_t>(down), static_cast<std::size_t>(across));
  return area(image, height, width, scale_y, scale_x);
}

}  // namespace

std::vector<std::uint8_t> resized(const View<std::uint8_t>& image, std::size_t height, std::size_t width,
                                  Interpolation how) {
  return resized_as_opencv(image, height, width, how);
}

std::vector<std::uint8_t> resized_by_area(const View<std::uint8_t>& image, std::size_t height, std::size_t width) {
  return resized_as_opencv(image, height, width, Interpolation::area);
}

std::vector<std::uint16_t> resized_by_area(const View<std::uint16_t>& image, std::size_t height, std::size_t width) {
  return resized_as_opencv(image, height, width, Interpolation::area);
}

std::vector<float> resized(const FloatView& image, std::size_t height, std::size_t width) {
  const std::vector<Tap> down = float_taps(image.height, height), across = float_taps(image.width, width);
  std::vector<float> result(height * width);
  for (std::size_t y = 0; y < height; ++y)
    interpolate(image, down[y], across.data(), across.data() + width, &result[y * width]);
  return result;
}

Mask positive(const FloatView& logits, std::size_t height, std::size_t width) {
  // An interpolated value is a mean of its four neighbours, so it is above 0 only where one of them is.
  std::size_t top = logits.height, bottom = 0, left = logits.width, right = 0;
  for (std::size_t y = 0; y < logits.height; ++y) {
    const float* row = logits.data + y * logits.stride;
    const float* end = row + logits.width;
    const auto above = [](float value) { return value > 0; };
    const float* first = std::find_if(row, end, above);
    if (first == end) continue;
    const float* last = end;
    while (!above(*--last)) {
    }
    top = std::min(top, y);
    bottom = y;
    left = std::min(left, static_cast<std::size_t>(first - row));
    right = std::max(right, static_cast<std::size_t>(last - row));
  }
  if (top == logits.height) return {};
  const std::vector<Tap> down = float_taps(logits.height, height), across = float_taps(logits.width, width);
  const Range rows = reached(down, top, bottom), columns = reached(across, left, right);
  const std::size_t window_width = columns.end - columns.begin;
  Mask mask{rows.begin, columns.begin, rows.end, columns.end, {}};
  mask.inside.resize((rows.end - rows.begin) * window_width);
  std::vector<float> line(window_width);
  std::uint8_t* to = mask.inside.data();
  for (std::size_t y = rows.begin; y < rows.end; ++y) {
    interpolate(logits, down[y], &across[columns.begin], &across[columns.begin] + window_width, line.data());
    for (const float value : line) *to++ = value > 0;
  }
  return tight(mask);
}
