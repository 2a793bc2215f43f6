"""The operators of torch that an encoder from outside may use, for `torch.export` and TorchScript alike.

A list of what is allowed, not of what is refused: an operator that torch adds is refused until it is entered
here. An entry is a name with its overloads after a colon; without any it is the one that torch calls
"default". The rule for an entry: whatever its arguments, it reads and writes within the tensors that it is
given and those that it makes, or raises. So there is none

- that takes sizes, strides or offsets into memory as they are (`as_strided`, `set_`, `resize_`),
- that writes into an argument other than its first, or into `out=` (but for the division that stands in the
  code of `F.normalize`, where torch's iterator checks both alike),
- that reaches into a tensor's parts (sparse, nested, quantised, packed), or trusts parts that it is given,
- that knows files, processes, other machines or Python.

torch keeps this rule where users call it, and not everywhere below: some operators into which an export
takes a layer apart believe their sizes. Those that real encoders need are checked by `guards` before they
run. `tests/benchmark/scoring/test_operators.py` holds the list to the rule as far as torch's own
declarations tell, and calls what takes indices with indices that are outside.

`TEXTS` and `STEPS` are what TorchScript has beside them: plain values, and the steps of its own language.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from disbench.errors import UsageError
from disbench.texts import short

# Every number comes from the numbers in the same place: torch's iterator compares the shapes, and refuses
# to write through a tensor whose elements share memory.
ELEMENTWISE = """
    abs abs_ neg neg_ negative negative_ positive sign sign_ sgn sgn_ square square_ sqrt sqrt_ rsqrt rsqrt_
    reciprocal reciprocal_ exp exp_ exp2 exp2_ expm1 expm1_ log log_ log2 log2_ log10 log10_ log1p log1p_
    sin sin_ cos cos_ tan tan_ asin asin_ acos acos_ atan atan_ sinh sinh_ cosh cosh_ tanh tanh_ asinh
    asinh_ acosh acosh_ atanh atanh_ atan2 atan2_ arctan2 arctan2_ erf erf_ erfc erfc_ erfinv erfinv_ sinc
    sinc_ ceil ceil_ floor floor_ round:default,decimals round_:default,decimals trunc trunc_ fix fix_ frac
    frac_ deg2rad deg2rad_ rad2deg rad2deg_ nan_to_num nan_to_num_ angle conj conj_physical conj_physical_
    resolve_conj resolve_neg real imag complex polar add:Tensor,Scalar add_:Tensor,Scalar sub:Tensor,Scalar
    sub_:Tensor,Scalar subtract:Tensor,Scalar subtract_:Tensor,Scalar rsub:Tensor,Scalar mul:Tensor,Scalar
    mul_:Tensor,Scalar multiply:Tensor,Scalar multiply_:Tensor,Scalar
    div:Tensor,Scalar,Tensor_mode,Scalar_mode,out div_:Tensor,Tensor_mode,Scalar,Scalar_mode
    divide:Tensor,Scalar,Tensor_mode,Scalar_mode divide_:Tensor,Tensor_mode,Scalar_mode,Scalar
    true_divide:Tensor,Scalar true_divide_:Tensor,Scalar floor_divide:default,Scalar
    floor_divide_:Tensor,Scalar remainder:Tensor,Scalar,Scalar_Tensor remainder_:Tensor,Scalar
    fmod:Tensor,Scalar fmod_:Tensor,Scalar pow:Tensor_Tensor,Tensor_Scalar,Scalar pow_:Scalar,Tensor
    float_power:Tensor_Tensor,Tensor_Scalar,Scalar float_power_:Tensor,Scalar hypot hypot_ logaddexp
    logaddexp2 maximum minimum fmax fmin clamp:default,Tensor clamp_:default,Tensor clip:default,Tensor
    clip_:default,Tensor clamp_min:default,Tensor clamp_min_:default,Tensor clamp_max:default,Tensor
    clamp_max_:default,Tensor lerp:Scalar,Tensor lerp_:Scalar,Tensor addcmul addcmul_ addcdiv addcdiv_
    xlogy:Tensor,Scalar_Other,Scalar_Self xlogy_:Tensor,Scalar_Other logit logit_ copysign:Tensor,Scalar
    copysign_:Tensor,Scalar ldexp:Tensor ldexp_ heaviside heaviside_ lgamma lgamma_ digamma digamma_
    fill:Scalar,Tensor fill_:Scalar,Tensor zero zero_ masked_fill:Scalar,Tensor masked_fill_:Scalar,Tensor
    where:self,ScalarOther,ScalarSelf,Scalar,default eq:Tensor,Scalar eq_:Scalar,Tensor ne:Tensor,Scalar
    ne_:Scalar,Tensor lt:Tensor,Scalar lt_:Scalar,Tensor le:Tensor,Scalar le_:Scalar,Tensor gt:Tensor,Scalar
    gt_:Scalar,Tensor ge:Tensor,Scalar ge_:Scalar,Tensor not_equal:Tensor,Scalar not_equal_:Scalar,Tensor
    less:Tensor,Scalar less_:Scalar,Tensor less_equal:Tensor,Scalar less_equal_:Scalar,Tensor
    greater:Tensor,Scalar greater_:Scalar,Tensor greater_equal:Tensor,Scalar greater_equal_:Scalar,Tensor
    logical_and logical_and_ logical_or logical_or_ logical_not logical_not_ logical_xor logical_xor_
    bitwise_and:Tensor,Scalar,Scalar_Tensor bitwise_and_:Tensor,Scalar
    bitwise_or:Tensor,Scalar,Scalar_Tensor bitwise_or_:Tensor,Scalar bitwise_not bitwise_not_
    bitwise_xor:Tensor,Scalar,Scalar_Tensor bitwise_xor_:Tensor,Scalar
    bitwise_left_shift:Tensor,Tensor_Scalar,Scalar_Tensor bitwise_left_shift_:Tensor_Scalar,Tensor
    bitwise_right_shift:Tensor,Tensor_Scalar,Scalar_Tensor bitwise_right_shift_:Tensor_Scalar,Tensor
    __and__:Scalar,Tensor __or__:Tensor,Scalar __xor__:Tensor,Scalar __lshift__:Tensor,Scalar
    __rshift__:Tensor,Scalar __iand__:Tensor,Scalar __ior__:Tensor,Scalar __ixor__:Tensor,Scalar isnan isinf
    isfinite isposinf isneginf isclose signbit
"""

# The same, for what nets put between their layers; softmax and glu know the size of the axis they work along.
ACTIVATIONS = """
    relu relu_ relu6 relu6_ leaky_relu leaky_relu_ prelu _prelu_kernel rrelu rrelu_ elu elu_ celu celu_ selu
    selu_ gelu gelu_ silu silu_ mish mish_ sigmoid sigmoid_ hardsigmoid hardsigmoid_ hardtanh hardtanh_
    hardswish hardswish_ softplus softshrink hardshrink threshold threshold_ log_sigmoid log_sigmoid_forward
    glu softmax:int _softmax log_softmax:int _log_softmax _safe_softmax dropout dropout_ feature_dropout
    feature_dropout_ alpha_dropout alpha_dropout_ feature_alpha_dropout feature_alpha_dropout_
    native_dropout
"""

# Axes are compared with the number of axes, and k with the size.
REDUCTIONS = """
    sum:dim_IntList,default nansum mean:default,dim nanmean prod:default,dim_int std:default,dim,correction
    var:default,dim,correction std_mean:default,dim,correction var_mean:default,dim,correction
    norm:Scalar,ScalarOpt_dim,ScalarOpt_dim_dtype,ScalarOpt_dtype amax amin aminmax max:other,default,dim
    min:other,default,dim argmax argmin median:default,dim nanmedian:default,dim mode all:default,dim,dims
    any:default,dim,dims logsumexp cumsum cumsum_ cumprod cumprod_ cummax cummin logcumsumexp
    count_nonzero:default,dim_IntList topk sort:default,stable argsort:default,stable msort kthvalue
    quantile:default,scalar dist cosine_similarity pairwise_distance cdist _cdist_forward pdist
    linalg_vector_norm linalg_norm:default,ord_str linalg_matrix_norm:default,str_ord frobenius_norm:dim
    trace diff
"""

# Sizes of matrices are compared before BLAS gets them. No factorisations: LAPACK is not written for hostile
# input.
PRODUCTS = """
    mm bmm mv dot vdot inner outer ger matmul linear addmm addmm_ addmv addmv_ addr addr_ addbmm addbmm_
    baddbmm baddbmm_ einsum bilinear tensordot kron cross linalg_cross linalg_vecdot linalg_matmul
    linalg_multi_dot chain_matmul matrix_power linalg_matrix_power
"""

# Sizes of kernels, strides and paddings are compared with the images. No max_unpool and no fractional
# pooling, whose indices or samples come from the caller.
CONVOLUTIONS = """
    conv1d:default,padding conv2d:default,padding conv3d:default,padding convolution
    _convolution:deprecated,default _convolution_mode conv_transpose1d conv_transpose2d:input
    conv_transpose3d:input avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d
    max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool1d
    adaptive_max_pool2d adaptive_max_pool3d im2col col2im
"""

# The number of channels is compared with the statistics and the weights; see `guards` for those that trust
# it.
NORMALISATIONS = """
    batch_norm _native_batch_norm_legit:no_stats _native_batch_norm_legit_no_training instance_norm
    layer_norm native_layer_norm group_norm native_group_norm rms_norm _fused_rms_norm norm_except_dim
    _weight_norm _weight_norm_interface
"""

# Attention and recurrent layers, whose sizes are compared layer by layer; see `guards` for those that trust
# them.
SEQUENCES = """
    scaled_dot_product_attention _scaled_dot_product_flash_attention_for_cpu _native_multi_head_attention
    _transformer_encoder_layer_fwd gru:input lstm:input rnn_tanh:input rnn_relu:input
    gru_cell lstm_cell rnn_tanh_cell rnn_relu_cell
"""

# Another shape for the same numbers: sizes are multiplied and compared, axes and ranges checked. No
# as_strided, whose strides come from the caller, and no view as another type.
VIEWS = """
    view view_as reshape reshape_as flatten:using_ints unflatten:int ravel squeeze:default,dim,dims
    squeeze_:default,dim,dims unsqueeze unsqueeze_ permute transpose:int transpose_ t t_ numpy_T:default,a
    mT:default,a adjoint matrix_H:default,a swapaxes swapaxes_ swapdims swapdims_ movedim:int,intlist
    moveaxis:intlist,int select:int slice:Tensor narrow:default,Tensor expand expand_as broadcast_to
    broadcast_tensors chunk split:Tensor,sizes,default split_with_sizes
    tensor_split:sections,indices,tensor_indices_or_sections hsplit:int,array vsplit:int,array
    dsplit:int,array unsafe_chunk unsafe_split:Tensor unsafe_split_with_sizes unbind:int diagonal unfold
    atleast_1d:default,Sequence atleast_2d:default,Sequence atleast_3d:default,Sequence alias detach detach_
    _unsafe_view view_as_real view_as_complex
"""

# New tensors with the numbers of others, after the same checks.
COPIES = """
    to:device,dtype,other,dtype_layout clone contiguous copy copy_:default,Tensor _to_copy type_as cpu cat
    concat concatenate stack hstack vstack dstack column_stack row_stack repeat tile
    repeat_interleave:Tensor,self_Tensor,self_int roll flip fliplr flipud rot90 pad constant_pad_nd
    reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d
    tril tril_ triu triu_ diag diag_embed diagflat block_diag meshgrid:default,indexing cartesian_prod
    pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle select_scatter slice_scatter
    diagonal_scatter lift lift_fresh lift_fresh_copy view_copy permute_copy transpose_copy:int t_copy
    squeeze_copy:default,dim,dims unsqueeze_copy expand_copy select_copy:int slice_copy:Tensor
    split_copy:Tensor split_with_sizes_copy unbind_copy:int detach_copy alias_copy diagonal_copy unfold_copy
"""

# On a CPU, each of these compares every index with the size and raises (the name of _unsafe_index speaks of
# GPUs).
INDEXING = """
    index:Tensor,Tensor_hacked_twin index_select gather scatter:value,src,reduce,value_reduce
    scatter_:src,value,reduce,value_reduce scatter_add scatter_add_ scatter_reduce:two scatter_reduce_:two
    index_add index_add_ index_copy index_copy_ index_fill:int_Tensor,int_Scalar
    index_fill_:int_Tensor,int_Scalar index_put:default,hacked_twin index_put_:default,hacked_twin
    index_reduce index_reduce_ masked_select masked_scatter masked_scatter_ take take_along_dim embedding
    one_hot nonzero nonzero_numpy argwhere bucketize:Tensor,Scalar searchsorted:Tensor,Scalar
    _unsafe_index:Tensor,Tensor_hacked_twin
"""

# Positions in a picture are computed and kept within it.
PICTURES = """
    upsample_nearest1d:default,vec upsample_nearest2d:default,vec upsample_nearest3d:default,vec
    _upsample_nearest_exact1d:default,vec _upsample_nearest_exact2d:default,vec
    _upsample_nearest_exact3d:default,vec upsample_linear1d:default,vec upsample_bilinear2d:default,vec
    upsample_trilinear3d:default,vec upsample_bicubic2d:default,vec _upsample_bilinear2d_aa:default,vec
    _upsample_lanczos2d_aa:default,vec _upsample_bicubic2d_aa:default,vec grid_sampler grid_sampler_2d
    grid_sampler_3d affine_grid_generator fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2
    fft_irfft2 fft_fftn fft_ifftn fft_rfftn fft_irfftn fft_fftshift fft_ifftshift fft_fftfreq fft_rfftfreq
"""

# Tensors of their own memory. Those that are empty hold what the process had there before, which knows
# nothing but the file and the images; codes that depend on it, or on chance, are refused when they are
# compared.
CREATION = """
    zeros zeros_like new_zeros ones ones_like new_ones full full_like new_full
    arange:default,start,start_step linspace:Tensor_Tensor,Tensor_Scalar,Scalar_Tensor,default
    logspace:Tensor_Tensor,Tensor_Scalar,Scalar_Tensor,default eye:default,m scalar_tensor
    tensor:bool,float,int,complex,default tril_indices triu_indices empty:memory_format empty_like new_empty
    rand:default,generator rand_like:default,generator randn:default,generator randn_like:default,generator
    randint:default,generator,low,low_generator
    randint_like:default,Tensor,low_dtype,generator,Tensor_generator,low_generator_dtype
    randperm:default,generator normal:Tensor_float,float_Tensor,Tensor_Tensor,float_float normal_
    bernoulli:default,p,Tensor bernoulli_:Tensor,float uniform_ normal_functional
    hann_window:default,periodic hamming_window:default,periodic,periodic_alpha,periodic_alpha_beta
"""

# What is asked of a tensor: sizes, types, single numbers, and the assertions that an export leaves.
QUESTIONS = """
    size:int,default sym_size:int,default sym_numel sym_stride:int,default stride:int,default numel dim
    len:Tensor item _local_scalar_dense is_nonzero is_floating_point is_complex is_signed is_same_size
    is_contiguous:default,memory_format sym_is_contiguous equal allclose
    result_type:Tensor,Scalar,Scalar_Tensor Bool:Tensor Int:Tensor Float:Tensor IntImplicit FloatImplicit
    ScalarImplicit _shape_as_tensor _assert_tensor_metadata _assert_async:default,msg _is_all_true
    _is_any_true requires_grad_ detach_ element_size
"""

# Numbers, texts, lists and dicts of TorchScript, all overloads that take and give no tensor: these live in
# its interpreter, which compares every index.
TEXTS = """
    Bool Float Int Size __and__ __contains__ __derive_index __getitem__ __is__ __isnot__ __lshift__ __not__
    __or__ __range_length __round_to_zero_floordiv __rshift__ __xor__ _assert_scalar _infer_size _set_item
    _unwrap_optional abs acos add add_ all any append asin atan atan2 broadcast_shapes capitalize ceil clear
    copy copysign cos cosh count degrees device dict div divmod endswith eq exp expm1 extend fabs find floor
    floordiv fmod format ge get gt has_torch_function index insert is_autocast_cpu_enabled
    is_autocast_enabled is_grad_enabled is_scripting isalnum isalpha isdigit isfinite isinf islower isnan
    isspace isupper items join keys le len list log log10 log1p log2 lower lstrip lt max min mul mul_ ne neg
    percentFormat pop pow radians remainder remove replace reverse rfind round rstrip select
    set_grad_enabled setdefault sin sinh slice sort sorted split splitlines sqrt startswith str strip sub
    sum sym_constrain_range sym_constrain_range_for_size tan tanh title update upper values warn zfill
"""
# Steps of TorchScript's language. None forks, waits, calls Python or speaks to another machine. Calls are put
# in place before the steps are looked up; one that is left goes to code that is chosen as it runs.
STEPS = """
    Constant CreateObject DictConstruct Enter EnumName EnumValue Exit GetAttr If IfThenElse ListConstruct
    ListUnpack Loop NumToTensor Print RaiseException SetAttr StringIndex TupleConstruct TupleIndex
    TupleSlice TupleUnpack Uninitialized abs data device dtype is_cpu is_cuda is_meta is_mkldnn is_mps
    is_nested is_quantized is_sparse isinstance itemsize layout max min name rangelist requires_grad
    tolist type unchecked_cast unchecked_unwrap_optional
"""


def _entries(text: str) -> Iterator[str]:
    for entry in text.split():
        name, _, overloads = entry.partition(":")
        yield from (f"{name}.{overload}" for overload in (overloads or "default").split(","))


ALLOWED = frozenset(
    entry
    for group in (
        *(ELEMENTWISE, ACTIVATIONS, REDUCTIONS, PRODUCTS, CONVOLUTIONS, NORMALISATIONS, SEQUENCES),
        *(VIEWS, COPIES, INDEXING, PICTURES, CREATION, QUESTIONS),
    )
    for entry in _entries(group)
)
_TEXTS, _STEPS = frozenset(TEXTS.split()), frozenset(STEPS.split())


def allowed(name: str, overload: str) -> bool:
    """Whether an operator on tensors, `aten::<name>`, may be used under this overload ("" is "default")."""
    return f"{name}.{overload or 'default'}" in ALLOWED


def allowed_on_values(name: str, overload: str) -> bool:
    """Whether an operator of TorchScript, `aten::<name>` without tensors, may be used."""
    # sorts objects, by a function of their class that no step calls
    return name in _TEXTS and not (name in ("sort", "sorted") and overload == "any")


def allowed_step(name: str) -> bool:
    """Whether a step of TorchScript's language, `prim::<name>`, may be taken."""
    return name in _STEPS


def refusal(path: Path, operator: str) -> UsageError:
    """The sentence for an operator that is not allowed."""
    return UsageError(
        f"{path} uses the operator {short(operator, 80)!r}, which is not allowed in a file from outside; "
        "export an encoder of plain tensor operators in evaluation mode (traced, not scripted), or score its "
        "codes."
    )
