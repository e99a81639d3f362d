// The operation that an export with weights of 24 bits holds, for OpenVINO.
#pragma once

#include <cstdint>
#include <memory>
#include <openvino/op/op.hpp>
#include <vector>

/// Weights of 24 bits (input 0, bytes) as 32-bit floats.
///
/// Input 1 is whatever else the weights' user takes; it is not read.  It makes OpenVINO widen them at each inference,
/// just before that user and into memory that others use before and after, rather than once and for good.
class Widened : public ov::op::Op {
 public:
  OPENVINO_OP("Widened", "extension")

  Widened() = default;
  Widened(const ov::OutputVector& inputs, std::vector<std::int64_t> shape);

  void validate_and_infer_types() override;
  std::shared_ptr<ov::Node> clone_with_new_inputs(const ov::OutputVector& inputs) const override;
  bool visit_attributes(ov::AttributeVisitor& visitor) override;
  bool has_evaluate() const override { return true; }
  bool evaluate(ov::TensorVector& outputs, const ov::TensorVector& inputs) const override;

 private:
  std::vector<std::int64_t> shape_;
};
