"""What an operator does with dead letters: list, show, redrive, export, import; EventBridge's own ones too."""
