//! Nothing: Outcrop does not use the part of vortex-io that needs labels.
