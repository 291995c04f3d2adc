;; Passes over the arenas that a graph of element-wise ops would make a dozen of. `npm run kernels` compiles this file to
;; kernels.ts. Addresses and lengths are in bytes; lengths are multiples of 64.
(module
  (import "arenas" "memory" (memory 0 65536))

  ;; Adam and AdamW over `bytes` of weights, as adam.ts folds the numbers:
  ;;
  ;;   h = gradient_factor g + l2 p      M = beta1 M + h      v = beta2 v + h²
  ;;   p = keep p - rate M / (√v + epsilon)
  ;;
  ;; Arithmetic on denormals is a hundred times slower, and what decays by a factor below one gets stuck among them. So M
  ;; below 1e-30 becomes 0, h counts as 0 in v where its square would be denormal, and so does v itself. NaN stays NaN.
  (func (export "adam")
    (param $p i32) (param $g i32) (param $m i32) (param $v i32) (param $bytes i32)
    (param $gradient_factor f32) (param $l2 f32) (param $beta1 f32) (param $beta2 f32)
    (param $epsilon f32) (param $rate f32) (param $keep f32)
    (local $end i32) (local $h v128) (local $w v128) (local $moment v128) (local $variance v128)
    (local.set $end (i32.add (local.get $p) (local.get $bytes)))
    (loop $next
      (if (i32.lt_u (local.get $p) (local.get $end))
        (then
          (local.set $w (v128.load (local.get $p)))
          (local.set $h (f32x4.add
            (f32x4.mul (v128.load (local.get $g)) (f32x4.splat (local.get $gradient_factor)))
            (f32x4.mul (local.get $w) (f32x4.splat (local.get $l2)))))
          (local.set $moment (f32x4.add
            (f32x4.mul (v128.load (local.get $m)) (f32x4.splat (local.get $beta1)))
            (local.get $h)))
          (local.set $moment (v128.andnot (local.get $moment)
            (f32x4.lt (f32x4.abs (local.get $moment)) (f32x4.splat (f32.const 1e-30)))))
          (v128.store (local.get $m) (local.get $moment))
          (local.set $h (v128.andnot (local.get $h)
            (f32x4.lt (f32x4.abs (local.get $h)) (f32x4.splat (f32.const 1.1e-19)))))
          (local.set $variance (f32x4.add
            (f32x4.mul (v128.load (local.get $v)) (f32x4.splat (local.get $beta2)))
            (f32x4.mul (local.get $h) (local.get $h))))
          (local.set $variance (v128.andnot (local.get $variance)
            (f32x4.lt (local.get $variance) (f32x4.splat (f32.const 1.18e-38)))))
          (v128.store (local.get $v) (local.get $variance))
          (v128.store (local.get $p) (f32x4.sub
            (f32x4.mul (local.get $w) (f32x4.splat (local.get $keep)))
            (f32x4.div
              (f32x4.mul (local.get $moment) (f32x4.splat (local.get $rate)))
              (f32x4.add (f32x4.sqrt (local.get $variance)) (f32x4.splat (local.get $epsilon))))))
          (local.set $p (i32.add (local.get $p) (i32.const 16)))
          (local.set $g (i32.add (local.get $g) (i32.const 16)))
          (local.set $m (i32.add (local.get $m) (i32.const 16)))
          (local.set $v (i32.add (local.get $v) (i32.const 16)))
          (br $next)))))

  ;; The sum of squares: of 4096 bytes in single precision, 16 floats side by side; of all those in double precision.
  (func (export "squares") (param $x i32) (param $bytes i32) (result f64)
    (local $end i32) (local $stop i32) (local $total f64)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $q v128)
    (local.set $end (i32.add (local.get $x) (local.get $bytes)))
    (loop $block
      (if (i32.lt_u (local.get $x) (local.get $end))
        (then
          (local.set $stop (i32.add (local.get $x) (i32.const 4096)))
          (if (i32.gt_u (local.get $stop) (local.get $end)) (then (local.set $stop (local.get $end))))
          (local.set $a (v128.const i32x4 0 0 0 0))
          (local.set $b (local.get $a))
          (local.set $c (local.get $a))
          (local.set $d (local.get $a))
          (loop $next
            (local.set $q (v128.load (local.get $x)))
            (local.set $a (f32x4.add (local.get $a) (f32x4.mul (local.get $q) (local.get $q))))
            (local.set $q (v128.load offset=16 (local.get $x)))
            (local.set $b (f32x4.add (local.get $b) (f32x4.mul (local.get $q) (local.get $q))))
            (local.set $q (v128.load offset=32 (local.get $x)))
            (local.set $c (f32x4.add (local.get $c) (f32x4.mul (local.get $q) (local.get $q))))
            (local.set $q (v128.load offset=48 (local.get $x)))
            (local.set $d (f32x4.add (local.get $d) (f32x4.mul (local.get $q) (local.get $q))))
            (local.set $x (i32.add (local.get $x) (i32.const 64)))
            (br_if $next (i32.lt_u (local.get $x) (local.get $stop))))
          (local.set $a (f32x4.add
            (f32x4.add (local.get $a) (local.get $b))
            (f32x4.add (local.get $c) (local.get $d))))
          (local.set $total (f64.add (local.get $total) (f64.promote_f32 (f32.add
            (f32.add (f32x4.extract_lane 0 (local.get $a)) (f32x4.extract_lane 1 (local.get $a)))
            (f32.add (f32x4.extract_lane 2 (local.get $a)) (f32x4.extract_lane 3 (local.get $a)))))))
          (br $block))))
    (local.get $total)))
