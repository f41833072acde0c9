// What a profiled backend has noted, from its model to JavaScript.
#pragma once

#include "backend/profiled/profiled_backend.h"
#include "model/model.h"

namespace mlit::addon {

// Names the model's weights; from here on what runs is timed.
void beginProfile(ProfiledBackend& backend, const Model& model);

}  // namespace mlit::addon
