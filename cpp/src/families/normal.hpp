// Normal responses of variance s^2 around g(eta). The kernel of the E-step knows them, so that they are no
// Family; standard errors want of them what they want of one.
#pragma once

#include "moefast/family.hpp"
#include "moefast/link.hpp"

namespace moefast {

// As Family::derivatives; `link` is null for the linear one.
void normal_derivatives(const Link* link, const ResponseRows& rows, double variance, const double* eta,
                        const FamilyDerivatives& out);

}  // namespace moefast
