// Source: the rule of DAFT's final submission (Pfefferle, Purucker and Hutter), in which ultrasound and whatever the
// name leaves open are LiteMedSAM's; `models/daft` states the same rule.
#include "daft.hpp"

#include <array>
#include <utility>

#include "fault.hpp"

namespace {

using Rule = std::pair<const char*, const char*>;  // part of the name, model

constexpr const char* otherwise = "lite_medsam";
/// Trained on all modalities together; stands in for a model that is not there.
constexpr const char* general = "general";

constexpr std::array<Rule, 21> beginnings{{
    {"3DBox_PET", "3D"},
    {"3DBox_MR", "3D"},
    {"2DBox_MR", "3D"},
    {"2DBox_PET", "3D"},
    {"3DBox_CT", "CT"},
    {"2DBox_CT", "CT"},
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
    {"PET", "3D"},
    {"OCT", "OCT"},
    {"MR", "3D"},
    {"Mamm", "Mammography"},
    {"US", otherwise},
    {"CT", "CT"},
}};

std::string model_of(const std::string& case_name) {
  for (const auto& [beginning, model] : beginnings)
    if (case_name.rfind(beginning, 0) == 0) return model;
  for (const auto& [part, model] : anywhere)
    if (case_name.find(part) != std::string::npos) return model;
  return otherwise;
}

bool holds_networks(const std::filesystem::path& folder) {
  return std::filesystem::is_regular_file(folder / "pipeline.json");
}

}  // namespace

std::filesystem::path networks_of(const std::filesystem::path& root, const std::string& case_name) {
  if (holds_networks(root)) return root;
  const std::string model = model_of(case_name);
  for (const std::string& name : {model, std::string(general), std::string(otherwise)})
    if (holds_networks(root / name)) return root / name;
  throw Fault(root.string() + ": it holds no networks, nor " + model + ", " + general + " or " + otherwise +
              ". Make them: python -m models export");
}
