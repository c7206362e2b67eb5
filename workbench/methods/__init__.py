"""The Method protocol, the pipeline that runs a recipe, evaluation and sensitivity."""
