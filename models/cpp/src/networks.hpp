// The exported networks at work, by OpenVINO on the CPU.
#pragma once

#include <cstddef>
#include <filesystem>
#include <future>
#include <openvino/openvino.hpp>
#include <vector>

#include "network.hpp"
#include "pipeline.hpp"

/// CPUs that this process may run on.
std::size_t cpus_given();

/// How networks are compiled.
struct Settings {
  std::filesystem::path folder;  ///< of the networks' .xml, their weights (.bin or .int24) and perhaps blobs
  Precision precision = Precision::f32;
  std::size_t threads = cpus_given();
};

class Networks : public Network {
 public:
  /// Loads the encoder's halves, and begins to load the others beside them: from a blob baked for a CPU like this one
  /// where there is one, else from the IR.  Throws Fault where a model is missing or is not what is expected.
  explicit Networks(const Settings& settings);

  /// Throws Fault as the constructor does, for the others.
  void await() override;
  Embedding encode(std::vector<float>& image) override;
  const float* decode(const Embedding& embedding, Prompt& prompt) override;

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

/// Writes blobs of the networks beside them, for CPUs like this one.  Weights stay in the networks' own files.
void bake(const Settings& settings);
