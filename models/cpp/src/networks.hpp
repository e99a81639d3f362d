// The exported networks at work, by OpenVINO on the CPU.
#pragma once

#include <cstddef>
#include <future>
#include <openvino/openvino.hpp>
#include <vector>

#include "loading.hpp"
#include "network.hpp"

class Networks : public Network {
 public:
  /// Loads the encoder's halves, and begins to load the others beside them.  Throws Fault where one is missing or
  /// is not what is expected.
  explicit Networks(const Settings& settings);

  /// Throws Fault as the constructor does, for the others.
  void await() override;
  Embedding encode(std::vector<float>& image) override;
  const float* decode(const Embedding& embedding, Prompt& prompt) override;

  /// Before the process ends: gives back the memory that the networks compute in, on several threads, where the kernel
  /// would do it on one.
  void give_back() noexcept;

  std::size_t side() const { return side_; }

 private:
  struct Pair {
    ov::InferRequest first, second;
  };

  /// Makes the second read the first one's results in place.
  static void connect(Pair& pair);

  Pair encoding_;  ///< both halves of the encoder
  std::future<Pair> loading_;
  Pair decoding_;     ///< what all boxes of an image share of decoding, and a box's own part
  Embedding shared_;  ///< which the first of them worked on last
  std::size_t side_ = 0;
};
