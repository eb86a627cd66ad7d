"""What the papers compare with: joint EM and gradient descent."""

from moefast.baselines.gradient_descent import GradientFit, fit_gradient_descent
from moefast.baselines.joint_em import EmStartKind, fit_joint_em, fit_joint_em_many

__all__ = ["EmStartKind", "GradientFit", "fit_gradient_descent", "fit_joint_em", "fit_joint_em_many"]
