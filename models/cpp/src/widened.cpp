#include "widened.hpp"

#include <tbb/parallel_for.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "int24.hpp"

Widened::Widened(const ov::OutputVector& inputs, std::vector<std::int64_t> shape)
    : Op(inputs), shape_(std::move(shape)) {
  constructor_validate_and_infer_types();
}

void Widened::validate_and_infer_types() {
  NODE_VALIDATION_CHECK(this, get_input_size() == 2, "Widened takes weights and what their user takes");
  NODE_VALIDATION_CHECK(this, std::all_of(shape_.begin(), shape_.end(), [](std::int64_t size) { return size >= 0; }),
                        "Widened has a negative size");
  const ov::Shape shape(shape_.begin(), shape_.end());
  const ov::Shape packed{int24::bytes_of(ov::shape_size(shape))};
  NODE_VALIDATION_CHECK(this,
                        get_input_element_type(0) == ov::element::u8 && get_input_partial_shape(0) == packed,
                        "Widened takes ", packed, " bytes for ", shape);
  set_output_type(0, ov::element::f32, shape);
}

std::shared_ptr<ov::Node> Widened::clone_with_new_inputs(const ov::OutputVector& inputs) const {
  return std::make_shared<Widened>(inputs, shape_);
}

bool Widened::visit_attributes(ov::AttributeVisitor& visitor) {
  visitor.on_attribute("shape", shape_);
  return true;
}

bool Widened::evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const {
  const std::size_t count = outputs[0].get_size();
  const auto* packed = inputs[0].data<const std::uint8_t>();
  auto* to = outputs[0].data<float>();
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, int24::runs_of(count)), [=](const auto& runs) {
    int24::widen(packed, count, runs.begin(), runs.end(), to);
  });
  return true;
}
