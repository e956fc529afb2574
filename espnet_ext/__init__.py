"""Small CTC models from one large ESPnet ASR model: representation alignment (EncRL), then CTC finetuning."""
