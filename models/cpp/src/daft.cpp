// Source: the rule of DAFT's final submission (Pfefferle, Purucker and Hutter), in which ultrasound and whatever the
// name leaves open are LiteMedSAM's; `models/daft` states the same rule.  After the challenge all volumes, and
// what else went to CT's model, got one model.
#include "daft.hpp"

#include <array>
#include <utility>

#include "fault.hpp"
#include "pipeline.hpp"

namespace {

using Rule = std::pair<const char*, const char*>;  // part of the name, model

constexpr const char* volumes = "3D";
constexpr const char* ct = "CT";
constexpr const char* otherwise = "lite_medsam";
/// Trained on all modalities together; stands in for a model that is not there.
constexpr const char* general = "general";

constexpr std::array<Rule, 21> beginnings{{
    {"3DBox_PET", volumes},
    {"3DBox_MR", volumes},
    {"2DBox_MR", volumes},
    {"2DBox_PET", volumes},
    {"3DBox_CT", ct},
    {"2DBox_CT", ct},
    {"2DBox_X-Ray", "XRay"},
    {"2DBox_XRay", "XRay"},
    {"2DBox_CXR", "XRay"},
    {"2DBox_XR", "XRay"},
    {"2DBox_US", otherwise},
    {"2DBox_Ultra", otherwise},
    {"2DBox_Fundus", "Fundus"},
    {"2DBox_Endoscopy", "Endoscopy"},
    {"2DBox_Endoscope", "Endoscopy"},
    {"2DBox_Dermoscope", "Dermoscopy"},
    {"2DBox_Dermoscopy", "Dermoscopy"},
    {"2DBox_Microscope", "Microscopy"},
    {"2DBox_Microscopy", "Microscopy"},
    {"2DBox_Mamm", "Mammography"},
    {"2DBox_OCT", "OCT"},
}};
/// Looked for in this order anywhere in the name; OCT before CT.
constexpr std::array<Rule, 13> anywhere{{
    {"Microscope", "Microscopy"},
    {"Microscopy", "Microscopy"},
    {"Dermoscopy", "Dermoscopy"},
    {"Endoscopy", "Endoscopy"},
    {"Fundus", "Fundus"},
    {"X-Ray", "XRay"},
    {"XRay", "XRay"},
    {"PET", volumes},
    {"OCT", "OCT"},
    {"MR", volumes},
    {"Mamm", "Mammography"},
    {"US", otherwise},
    {"CT", ct},
}};

std::string model_of(const std::string& case_name) {
  for (const auto& [beginning, model] : beginnings)
    if (case_name.rfind(beginning, 0) == 0) return model;
  for (const auto& [part, model] : anywhere)
    if (case_name.find(part) != std::string::npos) return model;
  return otherwise;
}

bool is_shared(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "pipeline.json";
  return std::filesystem::is_regular_file(file) && read_pipeline(file).algorithm == daft_shared;
}

bool holds_networks(const std::filesystem::path& folder) {
  return std::filesystem::is_regular_file(folder / "pipeline.json");
}

}  // namespace

std::filesystem::path networks_of(const std::filesystem::path& root, const std::string& case_name) {
  if (holds_networks(root)) return root;
  std::string model = model_of(case_name);
  if (is_shared(root / volumes) && (model == ct || case_name.rfind("3D", 0) == 0)) model = volumes;
  for (const std::string& name : {model, std::string(general), std::string(otherwise)})
    if (holds_networks(root / name)) return root / name;
  throw Fault(root.string() + ": it holds no networks, nor " + model + ", " + general + " or " + otherwise +
              ". Make them: python -m models export");
}
