from core.domain.models import KNOWN_CHECKPOINTS
from core.store.queries import datasets


def test_models(client, process):
    with process.database.writing() as session:
        datasets.pin_revision(session, "google/vit-base-patch16-224-in21k", "abc")
    known = {model["id"]: model for model in client.get("/v1/models").json()["models"]}
    assert list(known) == [
        *("vit-tiny", "vit-small", "resnet-tiny", "convnext-mini"),
        *KNOWN_CHECKPOINTS,
    ]
    assert known["vit-tiny"]["kind"] == "preset"
    assert known["vit-tiny"]["parameters"] > 0
    assert known["google/vit-base-patch16-224-in21k"]["revision"] == "abc"
    assert set(known["vit-small"]) >= {"parameters", "layers", "head"}


def test_models__describe_the_embedding(serve):
    client = serve(allowed_models=("facebook/dinov2-small", "somebody/unknown"))
    known = {model["id"]: model for model in client.get("/v1/models").json()["models"]}
    assert known["vit-tiny"]["pooling"] == "class token (CLS) after the final norm"
    assert (known["resnet-tiny"]["family"], known["resnet-tiny"]["pooling"]) == ("ResNet", "global average pool")
    dino = known["facebook/dinov2-small"]
    assert (dino["family"], dino["width"], dino["image_size"]) == ("DINOv2", 768, 224)
    assert "mean of the patch tokens" in dino["pooling"]
    assert known["somebody/unknown"]["family"] is None


def test_models__describe_the_cost_of_a_forward_pass(serve):
    client = serve(allowed_models=("microsoft/resnet-50", "somebody/unknown"))
    known = {model["id"]: model for model in client.get("/v1/models").json()["models"]}
    assert [size["image_size"] for size in known["vit-tiny"]["inputs"]] == [8, 16, 32, 64]
    assert known["vit-tiny"]["flops"] == known["vit-tiny"]["inputs"][2]["flops"]
    assert [size["image_size"] for size in known["resnet-tiny"]["inputs"]] == [32, 64]
    assert known["resnet-tiny"]["flops"] == known["resnet-tiny"]["inputs"][0]["flops"]
    assert known["microsoft/resnet-50"]["flops"] == 8_174_313_472
    assert (known["somebody/unknown"]["flops"], known["somebody/unknown"]["inputs"]) == (None, [])


def test_model__with_its_layers_and_blocks(idle):
    model = idle.get("/v1/models/vit-tiny").json()
    listed = next(known for known in idle.get("/v1/models").json()["models"] if known["id"] == "vit-tiny")
    assert {name: model[name] for name in listed} == listed
    [vit, classifier] = model["layer_tree"]["children"]
    layers = vit["children"][1]
    assert (layers["name"], layers["kind"], layers["repeat"]) == ("layers.0", "ViTLayer", 4)
    assert layers["output_shape"] == [65, 128]
    assert (classifier["output_shape"], classifier["parameters"]) == ([10], 1290)
    assert [block["depth_from_head"] for block in model["blocks"]] == [5, 4, 3, 2, 1, 0]
    assert model["blocks"][1]["name"] == "vit.layers.0"


def test_model__of_another_family(idle):
    model = idle.get("/v1/models/resnet-tiny").json()
    assert (model["layers"], model["width"], model["layer_tree"]["flops"]) == (6, 128, model["flops"])
    assert [block["name"] for block in model["blocks"]] == [
        "resnet.embedder",
        *(f"resnet.encoder.stages.{stage}" for stage in range(3)),
        "classifier",
    ]


def test_model__whose_id_has_a_slash(serve):
    client = serve(allowed_models=("facebook/dinov2-small",))
    for path in ("facebook/dinov2-small", "facebook%2Fdinov2-small"):
        model = client.get(f"/v1/models/{path}").json()
        assert (model["id"], model["revision"]) == ("facebook/dinov2-small", None)
        assert model["layer_tree"]["flops"] == model["flops"]


def test_model__without_known_layers(serve):
    client = serve(allowed_models=("somebody/unknown",))
    model = client.get("/v1/models/somebody/unknown").json()
    assert (model["blocks"], model["layer_tree"], model["parameters"]) == (None, None, None)


def test_model__that_no_run_may_name(idle, problem):
    for model_id in ("nothing", "facebook/dinov2-giant", "vit-tiny/more", ""):
        found = problem(idle.get(f"/v1/models/{model_id}"), 404, "not-found")
        assert "GET /v1/models" in found["detail"]
