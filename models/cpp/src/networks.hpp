// The two exported networks at work, by OpenVINO on the CPU.
#pragma once

#include <cstddef>
#include <filesystem>
#include <openvino/openvino.hpp>
#include <string>
#include <vector>

#include "geometry.hpp"

/// CPUs that this process may run on.
std::size_t cpus_given();

/// How networks are compiled.
struct Settings {
  std::filesystem::path folder;  ///< of encoder.xml, decoder.xml and perhaps blobs
  std::string precision = "f32";
  std::size_t threads = cpus_given();
};

class Networks {
 public:
  /// Compiles both, from a blob baked for a CPU like this one where there is one.
  /// Throws Fault where a model is missing or is not what is expected.
  explicit Networks(const Settings& settings);

  /// `image` is (3, side, side); the result is (1, 256, 64, 64) and the caller's own.
  ov::Tensor encode(std::vector<float>& image);

  /// Logits of prompts on one embedding, (N, 256, 256), valid until the next call.  N is small: see `batch`.
  const float* decode(const ov::Tensor& embedding, std::vector<Prompt>& prompts);

  std::size_t side() const { return side_; }

  static constexpr std::size_t logits_side = 256;
  /// Prompts decoded at once at most, which bounds memory.
  static constexpr std::size_t batch = 8;

 private:
  ov::Core core_;
  ov::CompiledModel encoder_, decoder_;
  ov::InferRequest encode_, decode_;
  std::size_t side_ = 0;
};

/// Writes blobs of both networks beside them, for CPUs like this one.  Weights stay in the models' own files.
void bake(const Settings& settings);
