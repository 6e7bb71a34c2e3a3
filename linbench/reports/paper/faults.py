"""What is wrong or unsaid in the paper, and how that is known; footnotes of the tables that it touches.

The counts are arithmetic on the models; the rest is from the paper's text and its released code and configurations,
compared. Where a conclusion is drawn, it says so.
"""

from linbench.reports.paper.layout import Fault

VIM_COUNT = Fault(
    "Vim's count is that of the classification model with its 1000-class head and the position table of a 1024² "
    "input (4097 rows): 27,294,184 for S, 7,896,808 for T. VMamba's 49.4 M is without a head, and so are "
    "RWKV-SAM's. Nothing else tried fits. 'alike' counts each backbone without head, built for this table's size.",
    rows=("Vim-S + SAM", "VMamba-S + SAM", "Vim-S", "Vim-T"),
    columns=("#Param",),
)
VRWKV_COUNT = Fault(
    "VRWKV-T and -S are counted without the classification head (5.962 M, 23.435 M), VRWKV-B with it (93.646 M; "
    "92.877 M without); all with the position table of a 224² input.",
    rows=("VRWKV-T", "VRWKV-S", "VRWKV-B", "VRWKV-S + SAM"),
    columns=("#Param",),
)
NECK_COUNT = Fault(
    "The counts of SAM, HQ-SAM and EfficientSAM hold the encoder's neck to 256 channels (22.35 M with, 21.66 M "
    "without for EfficientSAM-S), those of the other rows do not. 600 and 300 are rounded: ViT-H has 637.0 M, ViT-L "
    "308.3 M.",
    rows=("SAM (ViT-H)", "EfficientSAM", "HQ-SAM"),
    columns=("#Param",),
)
DEIT_COUNT = Fault(
    "DeiT's 5.7 M and 22.0 M fit the backbone without head with the position table of a 512² crop.",
    rows=("DeiT-T", "DeiT-S"),
    columns=("#Param",),
)
MIXED_SAM = Fault(
    "The row mixes two models. Its parameters, rate and COCO numbers are ViT-H's; 62.0/52.8, 92.1/86.5 and "
    "90.2/83.1 fit the ViT-L row of the HQ-SAM paper: with them its average over four sets leaves 73.7/62.0 for the "
    "fourth, which is plausible, while with ViT-H's average it would be 58.1/50.8. An inference; the authors say "
    "nothing.",
    rows=("SAM (ViT-H)",),
)
UNSAID_RATE = Fault(
    "The paper states neither dtype, batch size, TF32, attention nor clock of its FPS, and its code has no script "
    "for them. Its ViT runs naive attention, which builds the score matrix; fused attention makes the same model 2 "
    "to 4 times faster. So a rate has two columns: paper (float32, batch 1, eager, naive attention, no TF32) and "
    "best.",
    columns=("FPS",),
)
OTHER_DEVICE = Fault(
    "Quoted on one NVIDIA A100. A rate of another device is shown beside it and not judged.",
    columns=("FPS",),
)
PROTOCOLS = Fault(
    "RWKV-SAM's code keeps the aspect ratio (long side 1024, padded); HQ-SAM's evaluation, from which the rows SAM "
    "and HQ-SAM appear to be copied, squashes to 1024²; EfficientSAM's own stretches. Copied and own rows were not "
    "measured alike; here each protocol has columns of its own.",
    rows=("SAM (ViT-H)", "HQ-SAM", "EfficientSAM"),
    columns=("DIS", "COIFT", "HRSOD"),
)
BOUNDARY_AP = Fault(
    "The released code cannot run its COCO boundary metric (the module that it imports is missing), names no file "
    "of ViTDet-H boxes, and comes with no weights; so no number of this column can be traced to the code.",
    columns=("COCO mBAP",),
)
DECAY = Fault(
    "The paper's equation 4 divides only w by the number of tokens; the released code divides u as well, and its "
    "CUDA kernel loses one step of decay at the borders of its chunks (3 % of max|y| at 49 tokens, 2e-5 at 4096). "
    "linbench computes the equation with both divided.",
    rows=("RWKV-SAM", "RWKV-SAM-T", "RWKV-SAM-S", "RWKV-SAM-B", "VRWKV-S + SAM"),
)
EPOCHS = Fault(
    "The text says 120 epochs of ImageNet; the weights that the released distillation configuration loads are of "
    "epoch 294, so of the 300-epoch schedule that stands beside the other one. linbench's recipe has the text's "
    "120.",
    rows=("RWKV-SAM", "RWKV-SAM-T", "RWKV-SAM-S", "RWKV-SAM-B", "RWKV-SAM-S (1-1)"),
    columns=("top-1",),
)
EARLIER_EPOCHS = Fault(
    "Vim and Vision-RWKV publish these accuracies for 300 epochs; the rows of RWKV-SAM are said to have had 120, so "
    "the rows were not trained alike.",
    rows=("VRWKV-T", "VRWKV-S", "VRWKV-B", "Vim-T", "Vim-S"),
)
LEARNING_RATE = Fault(
    "The text says a learning rate of 1e-4 in both sessions; the released configuration scales it from a batch of "
    "16, which makes 2e-4 at the batch of 32 that the text states. linbench's recipes have the text's 1e-4.",
)
MIX = Fault(
    "The text mixes COCONut, EntitySeg and DIS5K at 2:1:1; the released data configuration adds the 1 % of SA-1B as "
    "a fourth part, and takes the first 60 instances of an image where the text says 20 at random.",
)
SET_SIZES = Fault(
    "Of COCONut-B's 242K images the released code uses 233,960, those with an object that has a mask; EntitySeg's "
    "low-resolution release, which it reads, has 31,913.",
    rows=("COCONut-B", "EntitySeg"),
)
REFINEMENT = Fault(
    "The text feeds the stride-16 map X to the refinement as well (equation 7); in the released code X reaches it "
    "only through the decoder's mask features. Of the four designs only conv was released; the others here follow "
    "the text.",
)
STAGES = Fault(
    "No code of the (x-y) encoders was released. The counts fit x and y RWKV blocks of the stage's width added "
    "behind its MBConv blocks, and 14-x-y blocks left in the third stage.",
    rows=("RWKV-SAM-S (1-1)", "RWKV-SAM-S (2-2)", "RWKV-SAM-S (3-3)"),
)
TABLE_1_COUNT = Fault(
    "The counts hold stem, last norm and layer scales; they exclude classifier, neck and a position table, which "
    "the released class can have: with one of 14x14 entries S would be 19.80 M.",
    columns=("#Param",),
)
PYRAMID = Fault(
    "RWKV-SAM is counted with the MBConv block at stride 32 that this table adds; UperNet is in no count.",
    rows=("RWKV-SAM-T", "RWKV-SAM-S"),
    columns=("#Param",),
)
VIT_OF_FIGURE_3 = Fault(
    "17.8 FPS stand both for EfficientSAM in Table 3 and for ViT-S in the text on Figure 3. ViT-S is measured here; "
    "EfficientSAM's encoder is that with a neck. From 512² to 1024² the quoted ViT slows down by 4.9 and RWKV-SAM "
    "by 1.8, less than the pixels grow: at 512² it seems not to have filled the device.",
)
