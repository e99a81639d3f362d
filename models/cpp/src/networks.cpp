#include "networks.hpp"

#include <sched.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <new>
#include <optional>

#include "fault.hpp"
#include "packed.hpp"

namespace {

constexpr const char* device = "CPU";
/// As OpenVINO aligns its own tensors.
constexpr std::size_t alignment_bytes = 64;

/// One for all networks: it holds the plugin.  Never destroyed, since destructors at exit would only take time.
ov::Core& core() {
  static auto* const only = new ov::Core;
  return *only;
}

/// What a blob depends on besides the model: a CPU that lacks one of these could not run it, or would run another.
std::string cpu_key() {
  std::string key;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const auto add = [&](const char* name, int supported) {
    if (supported) key += std::string("-") + name;
  };
  add("avx2", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
  add("avx512", __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
  add("vnni", __builtin_cpu_supports("avx512vnni"));
  add("bf16", __builtin_cpu_supports("avx512bf16"));
#else
  key = "-other";
#endif
  return key;
}

std::filesystem::path blob_path(const Settings& settings, const std::string& name) {
  const std::string version = ov::get_openvino_version().buildNumber;
  return settings.folder /
         (name + "-" + version.substr(0, version.find('-')) + "-" + name_of(settings.precision) + cpu_key() + ".blob");
}

ov::AnyMap options(const Settings& settings) {
  const auto precision = settings.precision == Precision::bf16 ? ov::element::bf16 : ov::element::f32;
  return {ov::hint::inference_precision(precision),
          // Where weights are stored as int8, activations would otherwise be rounded to 8 bits too.
          ov::hint::dynamic_quantization_group_size(0), ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
          ov::num_streams(1), ov::inference_num_threads(static_cast<int>(settings.threads)),
          // A pinned thread waits for its CPU while another one is idle, and loading waits with it.
          ov::hint::enable_cpu_pinning(false), ov::cache_mode(ov::CacheMode::OPTIMIZE_SIZE),
          // Kernels written for a few operations together take twice as long to load, and gain a tenth at most.
          {"SNIPPETS_MODE", "DISABLE"}};
}

/// A network's weights as OpenVINO reads them: the IR's own file, or what a packed one expands to.  OpenVINO maps the
/// file and does not ask for it again, so this may go once a network is loaded.
class Weights {
 public:
  Weights(const Settings& settings, const std::string& name) : path_(settings.folder / (name + ".bin")) {
    const std::filesystem::path packed = settings.folder / (name + packed_suffix);
    if (std::filesystem::is_regular_file(packed)) path_ = expanded_.emplace(packed).path();
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::optional<ExpandedWeights> expanded_;
};

ov::CompiledModel compiled(const Settings& settings, const std::string& name, const Weights& weights) {
  const std::filesystem::path xml = settings.folder / (name + ".xml");
  for (const auto& path : {xml, weights.path()})
    if (!std::filesystem::is_regular_file(path))
      throw Fault(path.string() + ": no such file. Make it: python -m models export");
  try {
    return core().compile_model(core().read_model(xml.string(), weights.path().string()), device, options(settings));
  } catch (const ov::Exception& error) {
    throw Fault(xml.string() + ": OpenVINO cannot compile it (" + error.what() +
                "). Make it again: python -m models export");
  }
}

ov::CompiledModel loaded(const Settings& settings, const std::string& name) {
  // Before the first use of OpenVINO, whose plugin takes as long to load on another thread.
  const Weights weights(settings, name);
  const std::filesystem::path blob = blob_path(settings, name);
  if (std::ifstream stream{blob, std::ios::binary}) {
    ov::AnyMap with_weights = options(settings);
    with_weights.insert(ov::weights_path(weights.path().string()));
    try {
      return core().import_model(stream, device, with_weights);
    } catch (const ov::Exception& error) {
      std::cerr << "warning: " << blob.string() << " cannot be used (" << error.what() << "); compiling anew\n";
    }
  }
  return compiled(settings, name, weights);
}

}  // namespace

std::size_t cpus_given() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::size_t>(CPU_COUNT(&set));
}

Networks::Networks(const Settings& settings) {
  // All are loaded side by side.
  loading_ = std::async(std::launch::async, [settings] {
    Pair loading{loaded(settings, "shared").create_infer_request(), loaded(settings, "decoder").create_infer_request()};
    connect(loading);
    return loading;
  });
  auto end = std::async(std::launch::async, [&settings] { return loaded(settings, "encoder2"); });
  ov::CompiledModel begin = loaded(settings, "encoder1");
  const ov::PartialShape input = begin.input().get_partial_shape();
  if (input.is_dynamic() || input.size() != 4 || input[1] != 3 || input[2] != input[3])
    throw Fault((settings.folder / "encoder1.xml").string() + ": its input is not (1, 3, S, S)");
  side_ = input.to_shape()[2];
  encoding_ = {begin.create_infer_request(), end.get().create_infer_request()};
  if (encoding_.second.get_compiled_model().output().get_partial_shape() != ov::PartialShape{1, 256, 64, 64})
    throw Fault((settings.folder / "encoder2.xml").string() + ": its output is not (1, 256, 64, 64)");
  connect(encoding_);
}

void Networks::connect(Pair& pair) {
  for (const auto& output : pair.first.get_compiled_model().outputs())
    pair.second.set_tensor(output.get_any_name(), pair.first.get_tensor(output));
}

void Networks::await() {
  if (loading_.valid()) decoding_ = loading_.get();
}

Embedding Networks::encode(std::vector<float>& image) {
  // The request would overwrite its own output next time; each embedding gets memory of its own.
  const Embedding embedding(static_cast<float*>(std::aligned_alloc(alignment_bytes, embedding_floats * sizeof(float))),
                            std::free);
  if (!embedding) throw std::bad_alloc();
  encoding_.first.set_input_tensor(ov::Tensor(ov::element::f32, {1, 3, side_, side_}, image.data()));
  encoding_.first.infer();
  encoding_.second.set_output_tensor(ov::Tensor(ov::element::f32, {1, 256, 64, 64}, embedding.get()));
  encoding_.second.infer();
  return embedding;
}

const float* Networks::decode(const Embedding& embedding, Prompt& prompt) {
  await();
  if (shared_ != embedding) {
    decoding_.first.set_input_tensor(ov::Tensor(ov::element::f32, {1, 256, 64, 64}, embedding.get()));
    decoding_.first.infer();
    shared_ = embedding;
  }
  decoding_.second.set_tensor("boxes", ov::Tensor(ov::element::f32, {1, prompt.size()}, prompt.data()));
  decoding_.second.infer();
  const ov::Tensor logits = decoding_.second.get_tensor("low_res_logits");
  if (logits.get_shape() != ov::Shape{1, logits_side, logits_side})
    throw Fault("decoder.xml: its low_res_logits are not (1, 256, 256)");
  return logits.data<const float>();
}

void bake(const Settings& settings) {
  for (const std::string name : {"encoder1", "encoder2", "shared", "decoder"}) {
    std::ofstream stream(blob_path(settings, name), std::ios::binary);
    compiled(settings, name, Weights(settings, name)).export_model(stream);
    if (!stream.flush()) throw Fault(blob_path(settings, name).string() + ": it cannot be written");
  }
}
