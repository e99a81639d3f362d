// A network whose masks can be foreseen, bright pixels in and near the box: the same numbers as the Python tests'
// StubNetwork, so that whole cases can be segmented under sanitizers, which OpenVINO's own libraries do not bear.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "network.hpp"

class StubNetwork : public Network {
 public:
  explicit StubNetwork(std::size_t side) : side_(side) {}

  /// The image's mean colour at 256 x 256.
  Embedding encode(std::vector<float>& image) override {
    const std::size_t block = side_ / logits_side, plane = side_ * side_;
    Embedding embedding(new float[embedding_floats], [](const float* floats) { delete[] floats; });
    for (std::size_t y = 0; y < logits_side; ++y)
      for (std::size_t x = 0; x < logits_side; ++x) {
        float sum = 0;
        for (std::size_t j = 0; j < block; ++j)
          for (std::size_t i = 0; i < block; ++i) {
            const float* pixel = &image.at((y * block + j) * side_ + x * block + i);
            sum += (pixel[0] + pixel[plane] + pixel[2 * plane]) / 3;
          }
        embedding.get()[y * logits_side + x] = sum / static_cast<float>(block * block);
      }
    return embedding;
  }

  const float* decode(const Embedding& embedding, Prompt& prompt) override {
    constexpr float reach = 5;
    const float scale = static_cast<float>(logits_side) / static_cast<float>(side_);
    const auto beyond = [&](std::size_t index, std::size_t axis) {
      const float place = static_cast<float>(index) + 0.5f;
      const float low = (prompt[axis] + 0.5f) * scale, high = (prompt[axis + 2] + 0.5f) * scale;
      return std::max(0.0f, std::max(low - place, place - high));
    };
    logits_.assign(logits_area, 0);  // those of the last call are gone
    float* to = logits_.data();
    for (std::size_t y = 0; y < logits_side; ++y)
      for (std::size_t x = 0; x < logits_side; ++x)
        *to++ = 2 * reach * (embedding.get()[y * logits_side + x] - 0.5f) - std::max(beyond(x, 0), beyond(y, 1));
    return logits_.data();
  }

 private:
  std::size_t side_;
  std::vector<float> logits_;
};
