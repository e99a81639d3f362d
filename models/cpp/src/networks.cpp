#include "networks.hpp"

#include <sched.h>

#include <fstream>
#include <future>
#include <iostream>

#include "fault.hpp"

namespace {

constexpr const char* device = "CPU";

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
         (name + "-" + version.substr(0, version.find('-')) + "-" + settings.precision + cpu_key() + ".blob");
}

ov::AnyMap options(const Settings& settings) {
  const auto precision = settings.precision == "bf16" ? ov::element::bf16 : ov::element::f32;
  return {ov::hint::inference_precision(precision), ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
          ov::num_streams(1), ov::inference_num_threads(static_cast<int>(settings.threads)),
          ov::cache_mode(ov::CacheMode::OPTIMIZE_SIZE)};
}

ov::CompiledModel compiled(ov::Core& core, const Settings& settings, const std::string& name) {
  const std::filesystem::path xml = settings.folder / (name + ".xml"), weights = settings.folder / (name + ".bin");
  for (const auto& path : {xml, weights})
    if (!std::filesystem::is_regular_file(path))
      throw Fault(path.string() + ": no such file. Make it: python -m models export");
  try {
    return core.compile_model(xml.string(), device, options(settings));
  } catch (const ov::Exception& error) {
    throw Fault(xml.string() + ": OpenVINO cannot compile it (" + error.what() +
                "). Make it again: python -m models export");
  }
}

ov::CompiledModel loaded(ov::Core& core, const Settings& settings, const std::string& name) {
  const std::filesystem::path blob = blob_path(settings, name);
  if (std::ifstream stream{blob, std::ios::binary}) {
    ov::AnyMap with_weights = options(settings);
    with_weights.insert(ov::weights_path((settings.folder / (name + ".bin")).string()));
    try {
      return core.import_model(stream, device, with_weights);
    } catch (const ov::Exception& error) {
      std::cerr << "warning: " << blob.string() << " cannot be used (" << error.what() << "); compiling anew\n";
    }
  }
  return compiled(core, settings, name);
}

}  // namespace

std::size_t cpus_given() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<std::size_t>(CPU_COUNT(&set));
}

Networks::Networks(const Settings& settings) {
  auto decoder = std::async(std::launch::async, [&] { return loaded(core_, settings, "decoder"); });
  encoder_ = loaded(core_, settings, "encoder");
  decoder_ = decoder.get();
  const ov::PartialShape input = encoder_.input().get_partial_shape();
  if (input.is_dynamic() || input.size() != 4 || input[1] != 3 || input[2] != input[3])
    throw Fault((settings.folder / "encoder.xml").string() + ": its input is not (1, 3, S, S)");
  side_ = input.to_shape()[2];
  encode_ = encoder_.create_infer_request();
  decode_ = decoder_.create_infer_request();
}

ov::Tensor Networks::encode(std::vector<float>& image) {
  // The request would overwrite its own output next time; each embedding gets memory of its own.
  ov::Tensor embedding(ov::element::f32, encoder_.output().get_shape());
  encode_.set_input_tensor(ov::Tensor(ov::element::f32, encoder_.input().get_shape(), image.data()));
  encode_.set_output_tensor(embedding);
  encode_.infer();
  return embedding;
}

const float* Networks::decode(const ov::Tensor& embedding, std::vector<Prompt>& prompts) {
  decode_.set_tensor("embedding", embedding);
  decode_.set_tensor("boxes", ov::Tensor(ov::element::f32, {prompts.size(), 4}, prompts.front().data()));
  decode_.infer();
  const ov::Tensor logits = decode_.get_tensor("low_res_logits");
  if (logits.get_shape() != ov::Shape{prompts.size(), logits_side, logits_side})
    throw Fault("decoder.xml: its low_res_logits are not (N, 256, 256)");
  return logits.data<const float>();
}

void bake(const Settings& settings) {
  ov::Core core;
  for (const std::string name : {"encoder", "decoder"}) {
    std::ofstream stream(blob_path(settings, name), std::ios::binary);
    compiled(core, settings, name).export_model(stream);
    if (!stream.flush()) throw Fault(blob_path(settings, name).string() + ": it cannot be written");
  }
}
