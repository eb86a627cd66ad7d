"""Files: fitted models, tables, safe writing."""

from moefast.io.model_file import load_model, save_model

__all__ = ["load_model", "save_model"]
