#include "networks.hpp"

#include <cstdlib>
#include <exception>
#include <new>

#include "fault.hpp"

namespace {

/// As OpenVINO aligns its own tensors.
constexpr std::size_t alignment_bytes = 64;

}  // namespace

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

void Networks::give_back() noexcept {
  try {
    await();
    std::vector<std::future<void>> giving;
    for (ov::InferRequest* request : {&encoding_.first, &encoding_.second, &decoding_.first, &decoding_.second})
      giving.push_back(std::async(std::launch::async, [=] { request->get_compiled_model().release_memory(); }));
    for (auto& each : giving) each.get();
  } catch (const std::exception&) {  // what is left the kernel takes
  }
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
