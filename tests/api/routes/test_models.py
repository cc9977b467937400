from core.store import datasets


def test_models(client, parts):
    with parts.database.writing() as session:
        datasets.pin_revision(session, "google/vit-base-patch16-224-in21k", "abc")
    known = {model["id"]: model for model in client.get("/v1/models").json()["models"]}
    assert list(known) == ["vit-tiny", "vit-small", "google/vit-base-patch16-224-in21k"]
    assert known["vit-tiny"]["kind"] == "preset"
    assert known["vit-tiny"]["parameters"] > 0
    assert known["google/vit-base-patch16-224-in21k"]["revision"] == "abc"
    assert set(known["vit-small"]) >= {"parameters", "layers", "head"}


def test_models__tell_what_an_embedding_is(serve):
    client = serve(allowed_models=("facebook/dinov2-small", "somebody/unknown"))
    known = {model["id"]: model for model in client.get("/v1/models").json()["models"]}
    assert known["vit-tiny"]["pooling"] == "class token (CLS) after the final norm"
    dino = known["facebook/dinov2-small"]
    assert (dino["family"], dino["width"], dino["image_size"]) == ("DINOv2", 768, 224)
    assert "mean of the patch tokens" in dino["pooling"]
    assert known["somebody/unknown"]["family"] is None
