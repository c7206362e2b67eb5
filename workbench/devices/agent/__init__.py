"""The program that runs on a device: it stores models, times them, and answers with their outputs.

It needs Python 3.9, numpy and onnxruntime there, and no workbench: what it imports from here travels with it.
"""
