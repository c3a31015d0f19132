"""From a command to the settings of its runs and back: the room in which Hydra and OmegaConf are seen."""
